# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 68
# platter attaches by TLS: a relay of its own where the kernel has none, the kernel where it does.

URI=nbds://127.0.0.1
SIZE=$((96 * 1024 * 1024))

start() {
    start_server --tls-certificates=/pki --tls-psk=/pki/keys.psk --ktls=off --listen unix:/tmp/tls.sock \
        --listen unix:/tmp/plain.sock,tls=off one=/tmp/one.img
}

# status_says TEXT
status_says() {
    platter status one | grep -F -- "$1"
}

# outlives HOW: a killed server under load.
outlives() {
    load /dev/nbd0 7 &
    job=$!
    sleep 2
    check "$1: the server is killed" crash
    check "$1: platter notices" soon is one dead
    check "$1: another server" start
    check "$1: the connection is back" soon is one alive
    check "$1: no request failed, and every block is as it was written" wait $job
}

# attach_one OPTION...
attach_one() {
    [ "$(platter attach --device nbd0 --name one --timeout 3 --dead-timeout 60 --connections 1 "$@")" = /dev/nbd0 ]
}

ip link set lo up
lsmod | grep -q '^tls ' && rmmod tls
check "a file" truncate -s $SIZE /tmp/one.img
check "server" start
check "without TLS" exits 9 platter attach nbd://127.0.0.1/one
check "what to do" said "write nbds:// instead of nbd://"
check "a server that nobody vouches for" exits 9 platter attach "$URI/one"
check "it says so" said "self-signed certificate in certificate chain"
check "another name" exits 9 platter attach --tls-certificates /pki --tls-hostname elsewhere "$URI/one"
check "it says so, too" said "hostname mismatch"
check "no such file" exits 9 platter attach --tls-certificates /nowhere "$URI/one"
check "which" said "/nowhere/ca-cert.pem: No such file"
now=$(date +%s)
date -s @4102444800 >/dev/null
check "in a far future" exits 9 platter attach --tls-certificates /pki "$URI/one"
date -s "@$now" >/dev/null
check "it has expired" said "certificate has expired"
echo "nobody:00112233445566778899aabbccddeeff" >/tmp/other.psk
chmod 600 /tmp/other.psk
check "a key that the server doesn't know" exits 9 platter attach --tls-psk /tmp/other.psk "$URI/one"
check "nothing has been attached" test -z "$(supervisor)"

echo "errors are expected" >/dev/kmsg
check "no module: attach" attach_one --tls-certificates /pki "$URI/one"
check "no module: a relay does it" status_says ", by a relay"
outlives "relay"
check "relay: detach" platter detach one
check "relay: all have gone" soon no_supervisor

check "the kernel's TLS" modprobe -a tls gcm ctr ghash-generic
check "X.509: attach" attach_one --tls-certificates /pki "$URI/one"
check "X.509: the kernel does it" status_says "TLSv1.3 TLS_AES_128_GCM_SHA256, by the kernel"
check "X.509: ext4" format ext4 nbd0
check "X.509: mount" mount -t ext4 /dev/nbd0 /mnt
check "X.509: copy files" cp -a /tree/. /mnt
check "X.509: checksums" same_tree /mnt
check "X.509: umount" umount /mnt
outlives "X.509"
check "X.509: the kernel does it again" status_says ", by the kernel"
check "X.509: platter is killed" kill -KILL "$(supervisor)"
check "X.509: its device goes on" dd if=/dev/nbd0 of=/dev/null bs=1M count=8 iflag=direct
check "X.509: another adopts it" platter attach "$URI/one"
check "X.509: that knows who does TLS" soon status_says "alive, it seems, for"
check "X.509: though not with which cipher" status_says ", by the kernel"
check "X.509: detach" platter detach one
check "PSK: attach" attach_one --tls-psk /pki/keys.psk nbds://client@127.0.0.1/one
check "PSK: the kernel does it" status_says ", by the kernel"
outlives "PSK"
check "PSK: detach" platter detach one
check "unix: attach" attach_one --tls-certificates /pki "nbds+unix:///one?socket=/tmp/tls.sock"
check "unix: a relay does it, though the kernel could" status_says ", by a relay"
outlives "unix"
check "unix: detach" platter detach one
check "unix without TLS: attach" attach_one "nbd+unix:///one?socket=/tmp/plain.sock"
outlives "unix without TLS"
check "unix without TLS: detach" platter detach one
check "all have gone" soon no_supervisor
check "the server ends" kill -TERM "${server:?}"
wait "$server"
echo "errors are a fault" >/dev/kmsg
