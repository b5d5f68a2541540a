//! From a signed request to its answer, without what accepting the event takes, beside what cannot be beaten:
//! one HMAC over the same bytes.
//!
//! Run with `cargo bench -p chatbus-platform-twilio`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints its measurements, or fails")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{Accept, Accepted, BuildContext, Inbound, PlatformFactory, WebhookRequest};
use chatbus_event::{Clock as _, InstanceId, Shape, Topic};
use chatbus_platform_twilio::signature::sign;
use chatbus_platform_twilio::{Factory, WEBHOOK_PATH, form};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::{Origin, resolve};
use secrecy::SecretString;

const ROUNDS: usize = 20_000;
const TOKEN: &str = "12345";
const PUBLIC_URL: &str = "https://bot.example";
const SMS: &str = "ToCountry=US&ToState=MI&SmsMessageSid=SMf00dfeedf00dfeedf00dfeedf00dfeed&NumMedia=0&ToCity=UTICA\
                   &FromZip=28394&SmsSid=SMf00dfeedf00dfeedf00dfeedf00dfeed&FromState=NC&SmsStatus=received\
                   &FromCity=VASS&Body=what+is+the+weather+like+today%3F&FromCountry=US&To=%2B15005550006&ToZip=48316\
                   &NumSegments=1&MessageSid=SMf00dfeedf00dfeedf00dfeedf00dfeed\
                   &AccountSid=AC0123456789abcdef0123456789abcdef&From=%2B15005550010&ApiVersion=2010-04-01";

/// Takes everything at once.
struct AtOnce;

#[async_trait]
impl Accept for AtOnce {
    async fn accept(&self, event: Inbound) -> Accepted {
        black_box(event);
        Accepted::Bus
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let origin = |name: &str| Origin::Environment(name.to_owned());
    let pairs = [
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("TWILIO_FROM", "+15005550006"),
        ("TWILIO_PUBLIC_URL", PUBLIC_URL),
    ];
    let layer = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), origin(k)));
    let (values, _) = resolve(Factory.settings(), &[layer.collect()]);
    let instance = InstanceId::parse("i-1").unwrap();
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext::alone(instance, egress, Shape::Flat, Arc::new(SystemClock));
    let webhook = Factory.build(&values, &cx).unwrap().unwrap().webhook().unwrap();
    let (url, params) = (format!("{PUBLIC_URL}{WEBHOOK_PATH}"), form::params(SMS.as_bytes()));
    let token = SecretString::from(TOKEN);
    let signature = sign(&token, &url, &params);
    let request = WebhookRequest {
        method: "POST".to_owned(),
        origin: PUBLIC_URL.to_owned(),
        path_and_query: WEBHOOK_PATH.to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/x-www-form-urlencoded".into()),
            ("x-twilio-signature".to_owned(), signature.into_bytes().into()),
        ],
        body: SMS.into(),
        received_at: SystemClock.now(),
    };
    let mut webhook_times = Vec::with_capacity(ROUNDS);
    let mut mac_times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let asked = request.clone();
        let began = SystemClock.instant();
        let answer = webhook.call(asked, &AtOnce).await;
        webhook_times.push(SystemClock.instant() - began);
        assert_eq!(answer.status, 200);
        let began = SystemClock.instant();
        black_box(sign(&token, &url, &params));
        mac_times.push(SystemClock.instant() - began);
    }
    println!("{} bytes, {ROUNDS} requests", SMS.len());
    print("webhook, signature to answer", &mut webhook_times);
    print("one HMAC over the same bytes", &mut mac_times);
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let rate = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
    println!("{what:32} p50 {:>8.1?} p99 {:>8.1?} {rate:>10.0}/s", at(0.5), at(0.99));
}
