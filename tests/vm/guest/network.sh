# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 41
# What platter has attached outlives the network's failures: silence, one connection of several cut, a server that moves. And
# it grows while it is mounted.

SIZE=$((96 * 1024 * 1024))

start() {
    start_server one=/tmp/one.img
}

# server_on ADDRESS
server_on() {
    rm -f /tmp/log
    platterd -v --control /tmp/control.sock --modules /none --module-conf /none --listen "tcp:$1:10809" one=/tmp/one.img >/tmp/log 2>&1 &
    server=$!
    soon grep -q "listening on" /tmp/log
}

# made_anew COUNT: so many connections were.
made_anew() {
    [ "$(reconnects one)" -ge "$1" ]
}

# port_of_one: a client's port of one of the server's connections.
port_of_one() {
    platterctl --socket /tmp/control.sock clients | grep -o '127.0.0.1:[0-9]*' | head -n 1 | cut -d: -f2
}

# In scripts/check for seconds only.
silence=3
[ "$(host rounds)" -le 3 ] || silence=60

ip link set lo up
check "a file" truncate -s $SIZE /tmp/one.img
check "packet filter" modprobe nf_tables
check "server" start
equal "attach" "$(platter attach --device nbd0 --timeout 3 --dead-timeout 90 --connections 4 nbd://127.0.0.1/one)" /dev/nbd0
equal "four connections" "$(platter status one | grep -c 'alive, for')" 4

echo "errors are expected" >/dev/kmsg
load /dev/nbd0 10 &
job=$!
sleep 2
port=$(port_of_one)
check "one of four is cut" drop tcp sport "$port"
check "platter makes another" within 20 made_anew 1
check "the cut one is whole again" heal
check "all are alive" within 20 is one alive
check "no request failed, and every block is as it was written" wait $job

load /dev/nbd0 $((silence + 12)) &
job=$!
sleep 2
check "all of them are silent" drop tcp dport 10809
check "platter notices that, too" within 20 is one dead
sleep $silence
check "the network is back" heal
check "and so are the connections" within 20 is one alive
check "no request failed, every block as it was written" wait $job

check "silence while nobody asks for anything" drop tcp dport 10809
check "is noticed" within 40 is one dead
check "the network is back again" heal
check "and so are the connections again" within 20 is one alive
check "reads" dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct
check "detach" platter detach one
check "the server ends" kill -TERM "${server:?}"
wait "$server"

echo "127.0.0.1 storage" >/etc/hosts
check "server with a name" server_on 127.0.0.1
equal "attach by name" "$(platter attach --device nbd0 --timeout 3 nbd://storage/one)" /dev/nbd0
check "the server goes" crash
check "it is noticed" soon is one dead
echo "127.0.0.2 storage" >/etc/hosts
check "another one has the name now" server_on 127.0.0.2
check "it is found" within 20 is one alive
check "status tells where" sh -c "platter status one | grep 'to 127.0.0.2:10809'"

check "mkfs" format ext4 nbd0
check "mount" mount -t ext4 /dev/nbd0 /mnt
check "copy files" cp -a /tree/. /mnt
check "the export grows" platterctl --socket /tmp/control.sock export resize one $((2 * SIZE))
equal "and the device" "$(platter resize one)" $((2 * SIZE))
check "resize2fs while it is mounted" resize2fs /dev/nbd0
check "there is room" at_least "$(df -k /mnt | awk 'END { print $2 }')" $((SIZE * 3 / 2048))
check "checksums" same_tree /mnt
check "umount" umount /mnt
check "e2fsck" e2fsck -f -n /dev/nbd0
check "detach at last" platter detach one
check "the last server ends" kill -TERM "${server:?}"
wait "$server"
rm /etc/hosts
echo "errors are a fault" >/dev/kmsg
