# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 20
# nbd-client's own TLS, between the kernel's driver and a server of the guest's own that wants it.

attach() {
    nbd-client 127.0.0.1 10809 "/dev/$1" -N "$2" -certfile /pki/client-cert.pem -keyfile /pki/client-key.pem \
        -cacertfile /pki/ca-cert.pem -tlshostname localhost && [ -e "/sys/block/$1/pid" ]
}

plain() {
    nbd-client 127.0.0.1 10809 /dev/nbd0 -N vm
}

clients() {
    platterctl --socket /tmp/control.sock --json clients
}

no_connections() {
    clients | grep -q '"clients": *\[\]'
}

ip link set lo up
rm -f /tmp/log
platterd -v --control /tmp/control.sock --modules /none --module-conf /none --listen tcp:127.0.0.1:10809 \
    --tls-certificates=/pki --tls-verify-peer vm=ram:192M >/tmp/log 2>&1 &
server=$!
check "server" soon grep -q "listening on" /tmp/log
check "without TLS it is refused" refused plain
file_system ext4 vm e2fsck -fn
check "attach once more" attach nbd0 vm
check "it is TLS" eval "clients | grep -E '\"version\": *\"TLSv1\\.[23]\"'"
check "the client is known" eval "clients | grep -E '\"identity\": *\"CN=client\"'"
check "detach once more" detach nbd0
check "the server ends" eval 'kill -TERM $server && wait $server'
