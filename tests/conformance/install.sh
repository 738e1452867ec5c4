#!/usr/bin/env bash
# Installs the Autobahn|Testsuite, which needs Python 2.7, into a folder; about 40 seconds. A second call does nothing.
#
#   tests/conformance/install.sh DIR
#
# Python 2.7 is taken from this machine where there is one, else from Debian bullseye: its packages are unpacked into
# DIR, nothing is installed into the system. The rest comes from PyPI, every version exact. DIR cannot be moved.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
DIR=$(cd "$1" && pwd)

PIP="pip==20.3.4" # the last one for Python 2.7
TOOLS="setuptools==44.0.0 wheel==0.37.1"
SUITE="six==1.16.0 txaio==2.1.0 incremental==16.10.1 enum34==1.1.10 pycparser==2.21 cffi==1.15.1 ipaddress==1.0.23
    cryptography==3.3.2 idna==2.10 typing==3.10.0.0 hyperlink==21.0.0 PyHamcrest==1.10.1 constantly==15.1.0 attrs==21.4.0
    Automat==22.10.0 zope.interface==4.6.0 Twisted==19.10.0 MarkupSafe==1.1.1 Jinja2==2.11.3 pyOpenSSL==19.1.0
    pyasn1==0.5.1 pyasn1-modules==0.3.0 service-identity==18.1.0 argparse==1.4.0 linecache2==1.0.0 traceback2==1.4.0
    unittest2==1.1.0 ujson==2.0.3 autobahn==0.10.9 autobahntestsuite==25.10.1"
FASTER="wsaccel==0.6.6" # compiled here; the suite works without it, more slowly
DEBS="python2.7-minimal libpython2.7-minimal libpython2.7-stdlib libpython2.7-dev libssl1.1 libffi7"

STAMP=$(cat "$0" | cksum)
if [ "$(cat "$DIR/.stamp" 2>/dev/null)" = "$STAMP" ] && "$DIR/wstest" -a >/dev/null 2>&1; then
    exit 0
fi
echo "installing the Autobahn|Testsuite in $DIR"
rm -rf "${DIR:?}"/{.stamp,python,packages,work,wstest,launch.py}
mkdir -p "$DIR/packages" "$DIR/work"

# --- Python 2.7 ------------------------------------------------------------------------------------------------------

# Whether $1 is one that runs: a shim of a version manager may stand under that name and refuse.
runs() { "$1" -c 'import ssl, zlib, ctypes, hashlib, sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; }

# The address of the Debian archive that this machine's apt uses.
archive() {
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|//p' | sort -u | head -n1
}

python='' libraries='' headers=''
for candidate in "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
    if [ -x "$candidate" ] && runs "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    command -v apt-get >/dev/null || { echo "Python 2.7 is missing, and so is apt-get to fetch Debian's" >&2; exit 2; }
    [ -n "$(archive)" ] || apt-get update -qq
    from=$(archive)
    [ -n "$from" ] || { echo "Python 2.7 is missing, and apt names no Debian archive to fetch it from" >&2; exit 2; }
    keys=$(ls /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-removed-keys.gpg \
        2>/dev/null | paste -sd,)
    apt="$DIR/work/apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$DIR/work/debs"
    : >"$apt/status"
    echo "deb [arch=$(dpkg --print-architecture) signed-by=$keys] $from bullseye main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<END
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
END
    (
        export APT_CONFIG="$apt/apt.conf"
        apt-get update -qq
        cd "$DIR/work/debs"
        # shellcheck disable=SC2086 # a list of words
        apt-get download -qq $DEBS
    )
    for deb in "$DIR"/work/debs/*.deb; do
        dpkg -x "$deb" "$DIR/python"
    done
    python="$DIR/python/usr/bin/python2.7"
    libraries=$(dirname "$(ls -d "$DIR"/python/usr/lib/*/libssl.so.1.1)")
    headers="-I$DIR/python/usr/include/python2.7 -I$DIR/python/usr/include"
    LD_LIBRARY_PATH=$libraries runs "$python" || { echo "Debian's Python 2.7 does not run here" >&2; exit 2; }
fi

# --- Packages --------------------------------------------------------------------------------------------------------

python3 -m pip --disable-pip-version-check download -qq --no-deps --only-binary=:all: -d "$DIR/work" "$PIP"
python3 -m zipfile -e "$DIR"/work/pip-*.whl "$DIR/work/pip" # from inside the .whl pip could not build anything

# pip for Python 2.7, into DIR/packages. What it warns of is only worth reading when it fails.
install() {
    if ! env LD_LIBRARY_PATH="$libraries" CFLAGS="$headers" PYTHONPATH="$DIR/work/pip:$DIR/packages" PYTHONNOUSERSITE=1 \
        PYTHONWARNINGS=ignore "$python" -m pip --disable-pip-version-check install -q --no-deps \
        --no-python-version-warning --target "$DIR/packages" "$@" >"$DIR/work/pip.log" 2>&1; then
        tail -n 20 "$DIR/work/pip.log" >&2
        return 1
    fi
}
# shellcheck disable=SC2086 # lists of words
{
    install $TOOLS
    install --upgrade --no-build-isolation $SUITE
    install --upgrade --no-build-isolation $FASTER || echo "$FASTER did not build: the runs will be slower" >&2
}

# --- wstest ----------------------------------------------------------------------------------------------------------

cat >"$DIR/launch.py" <<END
import site
import sys

sys.path.pop(0)  # this folder
site.addsitedir("$DIR/packages")  # reads the .pth of zope's namespace, which PYTHONPATH would not
from autobahntestsuite.wstest import run

run()
END
cat >"$DIR/wstest" <<END
#!/bin/sh
${libraries:+LD_LIBRARY_PATH="$libraries"; export LD_LIBRARY_PATH}
exec "$python" -E -s -u "$DIR/launch.py" "\$@"
END
chmod +x "$DIR/wstest"
"$DIR/wstest" -a | grep -q 'AutobahnTestSuite 25.10.1' || { echo "wstest does not run" >&2; exit 2; }
rm -rf "$DIR/work"
echo "$STAMP" >"$DIR/.stamp"
