# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 52 and 5 a round
# What platter has attached outlives its server, its connections and platter itself: a server of the guest's own.

URI=nbd://127.0.0.1:10809
SIZE=$((96 * 1024 * 1024))

start() {
    start_server one=/tmp/one.img two=/tmp/two.img
}

# now: hundredths of a second since the guest's start.
now() {
    tr -d . </proc/uptime | sed 's/ .*//'
}

# start_again: as start, but looks as often as it can, and notes when it listens.
start_again() {
    rm -f /tmp/log
    platterd -v --control /tmp/control.sock --modules /none --module-conf /none --listen tcp:127.0.0.1:10809 --memory=32M \
        one=/tmp/one.img two=/tmp/two.img >/tmp/log 2>&1 &
    server=$!
    until grep -qs "listening on" /tmp/log; do
        kill -0 $server || return 1
    done
    now >/tmp/listening
}

# read_one: a request that is made while there is no server; notes when it is answered.
read_one() {
    dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip=20000 iflag=direct 2>/dev/null && now >/tmp/answered
}

# attach_here OPTION...: in the foreground of a job; the device is in /tmp/path, what platter says in /tmp/platter.log.
attach_here() {
    platter attach --foreground "$@" >/tmp/path 2>/tmp/platter.log &
    soon test -s /tmp/path
}

# crash_now: and notes when.
crash_now() {
    now >/tmp/killed
    crash
}

# notices COUNT: as many lost connections as this; notes for how many ms it took, the server's end and our looking included.
notices() {
    local killed
    killed=$(cat /tmp/killed)
    until [ "$(grep -c "lost connection" /tmp/platter.log)" -ge "$1" ]; do
        [ $(($(now) - killed)) -lt 500 ] || return 1
    done
    echo $((($(now) - killed) * 10)) >>/tmp/noticed
}

# median: of lines of numbers.
median() {
    sort -n | awk '{ line[NR] = $1 } END { print line[int((NR + 1) / 2)] }'
}

# In scripts/check a request times out soon, so that those that were in flight are sent again soon; many rounds have the default.
rounds=$(host rounds)
timeout=3
runtime=7
[ "$rounds" -le 3 ] || { timeout=30 runtime=40; }

ip link set lo up
echo "errors are expected" >/dev/kmsg
check "files" truncate -s $SIZE /tmp/one.img /tmp/two.img
check "server" start
check "attach" attach_here --device nbd0 --timeout $timeout --dead-timeout 60 --connections 1 $URI/one
equal "its path" "$(cat /tmp/path)" /dev/nbd0
check "status warns that the server tells no identity" sh -c "platter status one | grep 'tells no uuid'"

round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    load /dev/nbd0 $runtime &
    job=$!
    sleep 2
    check "round $round: the server is killed" crash_now
    check "round $round: platter notices" notices $round
    read_one &
    reader=$!
    sleep 1
    check "round $round: another server" start_again
    check "round $round: what was asked while there was none is answered" wait $reader
    check "round $round: no request failed, and every block is as it was written" wait $job
    echo $((($(cat /tmp/answered) - $(cat /tmp/listening)) * 10)) >>/tmp/recovery
done
say "# noticed after so many ms: $(tr '\n' ' ' </tmp/noticed), median $(median </tmp/noticed)"
say "# answered so many ms after the server listened again: $(tr '\n' ' ' </tmp/recovery), median $(median </tmp/recovery)"
equal "as many new connections" "$(reconnects one)" "$rounds"

check "platter is killed" sh -c "kill -KILL $(supervisor)"
check "its device goes on" dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct
check "status says that nobody keeps it alive" sh -c "platter status one | grep 'nobody keeps it alive'"
equal "attach: another adopts it" "$(platter attach $URI/one)" /dev/nbd0
check "it is alive" soon is one alive
check "the server is killed again" crash
check "and another one comes" start
check "the connection is back once more" soon is one alive
check "reads" dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct

check "it ends, and the server, too" sh -c "kill -KILL $(supervisor); kill -KILL ${server:?}"
wait "$server"
check "a server" start
equal "attach adopts a dead one" "$(platter attach $URI/one)" /dev/nbd0
check "which comes alive" soon dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct
check "platter says so" soon is one alive
check "reconnect" platter reconnect one
check "alive anew" soon is one alive

check "the server knows" platterctl --socket /tmp/control.sock export resize one $((2 * SIZE))
equal "resize" "$(platter resize one)" $((2 * SIZE))
equal "so does the device" "$(cat /sys/block/nbd0/size)" $((2 * SIZE / 512))

check "the server is killed for good" crash
check "a smaller disk" truncate -s $SIZE /tmp/one.img
check "another server with it" start
check "platter refuses it" soon sh -c "platter status one | grep 'the export shrank'"
check "the server goes" crash
check "the disk is right again" truncate -s $((2 * SIZE)) /tmp/one.img
check "and so is the server" start
check "back" soon is one alive
check "detach" platter detach one
check "the server goes once more" crash
check "it comes for a little" start
equal "attach with little patience" "$(platter attach --device nbd0 --timeout 2 --dead-timeout 2 --connections 1 $URI/one)" /dev/nbd0
check "and goes" crash
check "reads fail when that is over" refused timeout 30 dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip=30000 iflag=direct
check "the server comes later than that" start
check "the device goes on" within 20 is one alive
check "and reads" dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip=31000 iflag=direct
check "detach that" platter detach one
check "the server has to go" crash
check "a server with a RAM disk" start_server ram=ram:16M
equal "attach it" "$(platter attach --device nbd0 $URI/ram)" /dev/nbd0
check "it has an identity" sh -c "platter status ram | grep -E 'uuid [0-9a-f]{8}-'"
check "its content ends with the server" crash
check "which comes again" start_server ram=ram:16M
check "platter refuses an empty disk in its place" soon sh -c "platter status ram | grep 'another disk than the one that was attached'"
check "detach in spite of that" platter detach --force ram
check "server ends" sh -c "kill -TERM $server"
wait "$server"
echo "errors are a fault" >/dev/kmsg
