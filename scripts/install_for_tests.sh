#!/usr/bin/env bash
# install_for_tests.sh WHAT MARK COMMANDS PACKAGES: programs that the tests with a mark need, installed
# where that is possible (Debian, root or sudo). In CI it is an error if they are not there in the end.
set -u
what=$1 mark=$2 commands=$3 packages=$4
PATH=$PATH:/usr/sbin:/sbin
missing() {
    for command in $commands; do
        command -v "$command" >/dev/null || printf '%s ' "$command"
    done
}
[ -z "$(missing)" ] && exit 0

sudo=""
[ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && sudo="sudo -n"; }
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$sudo" ]; }; then
    echo "Installing $what for the tests: $packages"
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
[ -z "$(missing)" ] && exit 0

echo "$what is missing and can't be installed here: $(missing)(Debian packages: $packages)."
if [ -n "${CI:-}" ]; then
    echo "In CI nothing may be skipped."
    exit 1
fi
echo "The tests marked '$mark' will be skipped."
