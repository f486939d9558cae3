#!/bin/sh
# Makes version.m4, configure and the Makefile.in files of a checkout. Stops at the first tool that fails.
# ACLOCAL, AUTOMAKE and AUTOCONF name other programs than the first of that name in PATH.
cd "$(dirname "$0")" || exit 1

step() {
    echo "$*"
    "$@" || { echo "autogen.sh: $1 failed" >&2; exit 1; }
}

for tool in "${ACLOCAL:-aclocal}" "${AUTOMAKE:-automake}" "${AUTOCONF:-autoconf}"; do
    command -v "$tool" >/dev/null || {
        echo "autogen.sh: $tool is missing (Debian, Fedora and Alpine packages: autoconf automake)" >&2
        exit 1
    }
done

echo "tools/version-m4 > version.m4"
tools/version-m4 > version.m4 || { rm -f version.m4; exit 1; }
step "${ACLOCAL:-aclocal}"
step "${AUTOMAKE:-automake}" --foreign --add-missing --copy
step "${AUTOCONF:-autoconf}"
