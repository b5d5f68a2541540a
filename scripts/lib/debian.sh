# Debian packages without touching the system: fetched with apt's own client into a folder of the
# checkout, from the mirror that the machine's apt is set up for, and unpacked there.
#
# Why trixie: it has the oldest nats-server that is supported and the LLVM of the compiler, and it
# can be read from any newer or older Debian. Sourced by scripts/setup; needs TOOLS.

readonly DEBIAN_SUITE=trixie

debian_architecture() { dpkg --print-architecture 2>/dev/null || uname -m; }
debian_is_root() { [[ $(id -u) == 0 ]]; }

# debian_install PACKAGE…: the ordinary way, as root.
debian_install() {
  command -v apt-get >/dev/null || return 1
  apt-get -qq update >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# The machine's own mirror: the one its apt sources name for its own release, in either syntax.
# apt itself tells it only after an update, which takes root.
debian_mirror() {
  local release
  release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  python3 - "$release" <<'PY'
import glob, re, sys

release = sys.argv[1]
for name in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
    try:
        text = open(name, encoding="utf-8").read()
    except OSError:
        continue
    for line in text.splitlines():
        old = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s", line + " ")
        if old and old[2] == release:
            print(old[1])
            sys.exit()
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(URIs|Suites):[ \t]*(.+)$", stanza, re.M))
        if release in fields.get("Suites", "").split() and fields.get("URIs"):
            print(fields["URIs"].split()[0])
            sys.exit()
PY
}

# An apt of our own: its lists and archives live under .tools/apt, and it believes that nothing is
# installed, so that it names every library a program needs.
debian_apt() {
  local apt=$TOOLS/apt
  APT_CONFIG=$apt/apt.conf apt-get -qq "$@"
}

debian_prepare() {
  local apt=$TOOLS/apt mirror keyring
  if [[ -n ${DEBIAN_READY:-} ]]; then return; fi
  command -v apt-get >/dev/null || { say "this machine has no apt"; return 1; }
  mirror=$(debian_mirror)
  if [[ -z $mirror ]]; then say "apt names no mirror for this release"; return 1; fi
  keyring=$(ls /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} 2>/dev/null | head -n 1)
  mkdir -p "$apt"/{lists/partial,cache/archives/partial}
  : >"$apt/status"
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$DEBIAN_SUITE" >"$apt/suite.list"
  cat >"$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/suite.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Debug::NoLocking "1";
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
  debian_apt update || return 1
  DEBIAN_READY=yes
}

# debian_fetch FOLDER PACKAGE: unpacks one package into FOLDER, without what it depends on.
debian_fetch() {
  local folder=$1 package=$2
  debian_prepare || return 1
  rm -rf "$folder" && mkdir -p "$folder"
  (cd "$folder" && debian_apt download "$package" && dpkg-deb -x ./*.deb . && rm -f ./*.deb)
}

# debian_fetch_with_libraries FOLDER PACKAGE PATTERN…: unpacks those files of the package and of
# everything it depends on.
debian_fetch_with_libraries() {
  local folder=$1 package=$2 deb
  shift 2
  debian_prepare || return 1
  mkdir -p "$folder"
  rm -f "$TOOLS"/apt/cache/archives/*.deb
  debian_apt install -y --no-install-recommends --download-only "$package" || return 1
  for deb in "$TOOLS"/apt/cache/archives/*.deb; do
    # A package without any such file makes tar complain; the caller runs what it needs afterwards.
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$folder" --keep-directory-symlink --wildcards "$@" 2>/dev/null || true
  done
  rm -f "$TOOLS"/apt/cache/archives/*.deb
}

# debian_wrap FOLDER PROGRAM WRAPPER: a script that runs the program with the C library and loader
# it was fetched with, which may be newer than the machine's.
debian_wrap() {
  local folder=$1 program=$2 wrapper=$3 loader
  loader=$(find "$folder/usr/lib" -path '*linux-gnu*' -name 'ld-linux*.so*' | head -n 1)
  [[ -n $loader ]] || return 1
  printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' "$loader" "$(dirname "$loader")" "$folder/$program" >"$wrapper"
  chmod +x "$wrapper"
}
