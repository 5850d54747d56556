# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 43
# What platter has attached outlives its server, its connections and platter itself: a server of the guest's own.

URI=nbd://127.0.0.1:10809
SIZE=$((96 * 1024 * 1024))

start() {
    start_server one=/tmp/one.img two=/tmp/two.img
}

ip link set lo up
echo "errors are expected" >/dev/kmsg
check "files" truncate -s $SIZE /tmp/one.img /tmp/two.img
check "server" start
equal "attach" "$(platter attach --device nbd0 --timeout 3 --dead-timeout 60 --connections 1 $URI/one)" /dev/nbd0

for round in 1 2; do
    load /dev/nbd0 12 &
    job=$!
    sleep 3
    check "round $round: the server is killed" cut
    check "round $round: platter notices" soon is one dead
    sleep 1
    check "round $round: another server" start
    check "round $round: the connection is back" soon is one alive
    check "round $round: no request failed, and every block is as it was written" wait $job
done
equal "two new connections" "$(reconnects one)" 2

check "platter is killed" sh -c "kill -KILL $(supervisor)"
check "its device goes on" dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct
check "status says that nobody keeps it alive" sh -c "platter status one | grep 'nobody keeps it alive'"
equal "attach: another adopts it" "$(platter attach $URI/one)" /dev/nbd0
check "it is alive" soon is one alive
check "the server is killed again" cut
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

check "the server is killed for good" cut
check "a smaller disk" truncate -s $SIZE /tmp/one.img
check "another server with it" start
check "platter refuses it" soon sh -c "platter status one | grep 'the export shrank'"
check "the server goes" cut
check "the disk is right again" truncate -s $((2 * SIZE)) /tmp/one.img
check "and so is the server" start
check "back" soon is one alive
check "detach" platter detach one
check "server ends" sh -c "kill -TERM $server"
wait "$server"
echo "errors are a fault" >/dev/kmsg
