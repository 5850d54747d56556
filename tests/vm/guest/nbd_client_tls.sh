# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 34
# nbd-client's own TLS: a proxy of its between the kernel's driver and a server of the guest's own, which wants it.

# connect DEVICE HOST [OPTION...]: HOST is the name that the server's certificate has to have.
connect() {
    local device=$1 host=$2
    shift 2
    nbd-client 127.0.0.1 10809 "/dev/$device" -N vm -cacertfile /pki/ca-cert.pem -tlshostname "$host" "$@"
}

# attach DEVICE EXPORT [OPTION...]: there is but one export.
attach() {
    local device=$1
    shift 2
    connect "$device" 127.0.0.1 -certfile /pki/client-cert.pem -keyfile /pki/client-key.pem "$@" &&
        [ -e "/sys/block/$device/pid" ]
}

# start OPTION...: the server; its log is /tmp/log.
start() {
    rm -f /tmp/log
    platterd -v --control /tmp/control.sock --modules /none --module-conf /none --listen tcp:127.0.0.1:10809 \
        --tls-certificates=/pki --tls-verify-peer "$@" vm=ram:192M >/tmp/log 2>&1 &
    server=$!
    soon grep -q "listening on" /tmp/log
}

stop() {
    kill -TERM "$server" && wait "$server"
}

log_says() {
    soon grep "$1" /tmp/log
}

clients() {
    platterctl --socket /tmp/control.sock --json clients
}

# clients_are NUMBER PATTERN: so many are listed with it.
clients_are() {
    [ "$(clients | grep -o "$2" | wc -l)" -eq "$1" ]
}

no_connections() {
    clients_are 0 '"peer"'
}

# same_data: what two write at the same time is read from the server again.
same_data() {
    local half jobs=
    for half in 0 1; do
        dd if=/tmp/data$half of=/dev/nbd0 bs=1M seek=$((half * 100)) oflag=direct conv=fsync,notrunc status=none &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job" || return 1
    done
    for half in 0 1; do
        dd if=/dev/nbd0 bs=1M skip=$((half * 100)) count=4 iflag=direct status=none | cmp - /tmp/data$half || return 1
    done
}

ip link set lo up
check "server" start
check "without TLS it is refused" refused nbd-client 127.0.0.1 10809 /dev/nbd0 -N vm
check "without a certificate" refused connect nbd0 127.0.0.1
check "without a certificate: the log says so" log_says "TLS: peer did not return a certificate"
check "under another name" refused connect nbd0 localhost -certfile /pki/client-cert.pem -keyfile /pki/client-key.pem
check "under another name: the log says so" log_says "TLS: the client broke the handshake off"
check "nothing is attached" unused nbd0

file_system ext4 vm e2fsck -fn

for half in 0 1; do
    dd if=/dev/urandom of=/tmp/data$half bs=1M count=4 status=none
done
check "two connections" attach nbd0 vm -connections 2
check "both are TLS" clients_are 2 '"version": *"TLSv1\.[23]"'
check "both have shown who they are" clients_are 2 '"identity": *"CN=client"'
check "data of two connections" same_data
check "detach both" detach nbd0
check "the server ends" stop

# It speaks TLS 1.2, which the kernel isn't given.
check "kernel TLS" modprobe -a tls gcm ctr ghash-generic
check "a server that would use it" start --ktls=on
check "attach to it" attach nbd0 vm
check "data through it" same_data
check "OpenSSL does TLS" clients_are 1 '"kernel": *false'
check "detach from it" detach nbd0
check "all have gone" soon no_connections
check "it ends" stop
