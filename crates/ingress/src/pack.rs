//! Attributes as one block of bytes, and back.

use bytes::{BufMut, Bytes};
use chatbus_event::Attributes;

/// `(u16 length, name, u32 length, value)*`, little endian. A name or value too long for its length
/// field is left out: no driver could carry it either.
pub(crate) fn pack(attributes: &Attributes) -> Bytes {
    let size: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    let mut out = Vec::with_capacity(size);
    for (name, value) in attributes.iter() {
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len())) else {
            continue;
        };
        out.put_u16_le(name_len);
        out.put_slice(name.as_bytes());
        out.put_u32_le(value_len);
        out.put_slice(value.as_bytes());
    }
    out.into()
}

/// What [`pack`] packed. Of other bytes, as much as makes sense.
pub(crate) fn unpack(mut packed: &[u8]) -> Attributes {
    let mut attributes = Attributes::with_room(14, packed.len());
    while let Some((name, value)) = pair(&mut packed) {
        attributes.set_named(name, value);
    }
    attributes
}

fn pair<'a>(packed: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let name_len = u16::from_le_bytes(*packed.split_first_chunk()?.0);
    let rest = &packed[2..];
    let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*value_len)).ok()?)?;
    *packed = rest;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn attributes_come_back_as_they_were(pairs in prop::collection::vec(("[a-zA-Z-]{1,12}", ".{0,40}"), 0..14)) {
            let attributes: Attributes = pairs.into_iter().collect();
            prop_assert_eq!(unpack(&pack(&attributes)), attributes);
        }

        #[test]
        fn any_bytes_make_some_attributes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn a_name_no_driver_could_carry_is_left_out() {
        let mut attributes = Attributes::new();
        attributes.set("n".repeat(70_000), "v");
        attributes.set("kept", "v");
        assert_eq!(unpack(&pack(&attributes)).len(), 1);
    }
}
