# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 49
# Kernel TLS: a server of the guest's own, with clients on the guest's loopback.

URI="nbds://127.0.0.1/vm?tls-certificates=/pki"
SIZE=$((10 * 1024 * 1024))

# start WHEN OPTION...: a server that uses kernel TLS then; its log is /tmp/log.
start() {
    local when=$1
    shift
    rm -f /tmp/log
    platterd -vv --control /tmp/control.sock --modules /none --module-conf /none --listen tcp:127.0.0.1:10809 \
        --tls-certificates=/pki --memory=8M --ktls="$when" "$@" vm=ram:$SIZE >/tmp/log 2>&1 &
    server=$!
    soon grep -q "listening on" /tmp/log
}

stop() {
    kill -TERM "$server" && wait "$server"
}

# client ACT: what tls_client says.
client() {
    tls_client 10809 /pki/ca-cert.pem vm "$1"
}

# hold ACT: leaves one running that has written and read, until let_go.
hold() {
    rm -f /tmp/fifo /tmp/held
    mkfifo /tmp/fifo
    client "$1" </tmp/fifo >/tmp/held &
    held=$!
    exec 4>/tmp/fifo
    soon grep -q ready /tmp/held
}

let_go() {
    exec 4>&-
    wait "$held" && grep -q goodbye /tmp/held
}

# clients_say PATTERN: what platterctl lists matches.
clients_say() {
    platterctl --socket /tmp/control.sock --json clients | grep -E "$1"
}

no_clients() {
    [ "$(platterctl --socket /tmp/control.sock clients | wc -l)" -eq 1 ]
}

# log_count PATTERN: how many lines of the server's log have it.
log_count() {
    grep -c "$1" /tmp/log
}

# log_says PATTERN
log_says() {
    soon grep "$1" /tmp/log
}

in_kernel() {
    log_count "the kernel does TLS from here on"
}

# with SUITE ACT: what comes of it, if the kernel does it.
with() {
    local before
    before=$(in_kernel)
    TLS_SUITE=$1 client "$2" && at_least "$(in_kernel)" $((before + 1))
}

copy_back() {
    nbdcopy "$URI" - | cmp - /tmp/data
}

ip link set lo up
check "server" start on
check "without the module: client" hold hold
check "without the module: the server does TLS" clients_say '"kernel": ?false'
check "without the module: the log says why" log_says "no kernel TLS: No such file or directory"
check "without the module: goodbye" let_go
equal "without the module: key update" "$(client update)" answered

check "the module, but no cipher" modprobe tls
equal "no cipher: early requests" "$(client early)" answered
equal "no cipher: the log says so, too" "$(log_count "no kernel TLS: No such file or directory")" 3
equal "no cipher: the server did TLS" "$(in_kernel)" 0

check "ciphers" modprobe -a gcm ctr ghash-generic chacha20poly1305 chacha_generic poly1305_generic
check "client" hold hold
check "the kernel does TLS" clients_say '"kernel": ?true'
check "goodbye" let_go
check "all have gone" soon no_clients
check "data" dd if=/dev/urandom of=/tmp/data bs=1M count=10
check "write" nbdcopy /tmp/data "$URI"
check "read" copy_back
check "all have gone again" soon no_clients
# Three came before it could.
equal "the kernel did it for every connection" "$(in_kernel)" $(($(log_count ": uses vm") - 3))
check "half a request" hold half
check "its other half" let_go
equal "early requests" "$(client early)" answered
equal "AES-256" "$(with TLS_AES_256_GCM_SHA384 early)" answered
equal "ChaCha20" "$(with TLS_CHACHA20_POLY1305_SHA256 early)" answered

equal "key update" "$(client update)" ended
check "key update: the log says so" log_says "TLS ends: a key update"
equal "fatal alert" "$(client alert)" ended
check "fatal alert: the log says so" log_says "TLS ends: bad record mac"
equal "changed record" "$(client corrupt)" ended
check "changed record: the log says so" log_says "TLS ends: a record that cannot be opened"
check "all have gone at last" soon no_clients

check "a client that waits" hold wait
check "the server ends" stop
check "it said goodbye" let_go
check "another server, which polls" start on --poll-us=50
equal "it serves" "$(client early)" answered
check "half a request of another client" hold half
check "the server ends in spite of it" stop
exec 4>&-
wait "$held"

case $(uname -r) in
[1-5].* | 6.[0-4].*) mature=false ;;
*) mature=true ;;
esac
for when in auto off; do
    [ $when = auto ] || mature=false
    check "--ktls=$when: server" start $when
    check "--ktls=$when: client" hold hold
    check "--ktls=$when: who does TLS" clients_say "\"kernel\": ?$mature"
    check "--ktls=$when: goodbye" let_go
    check "--ktls=$when: the server ends" stop
done
