# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 112
# platter attaches, lists and detaches exports; what is in use stays.

URI=nbd://$SERVER:$PORT

# What a node says of itself.
logical_block() {
    cat "/sys/block/$1/queue/logical_block_size"
}

bytes() {
    echo $(($(cat "/sys/block/$1/size") * 512))
}

two_connections() {
    [ "$(host connections)" -eq 2 ]
}

check "nothing is attached" compare "$(platter list | wc -l)" 1
check "status of nothing" platter status
check "attach" sh -c "platter attach '$URI/ram0' >/tmp/path"
path=$(cat /tmp/path)
device=${path#/dev/}
check "its path alone is printed" test -b "$path"
equal "its size" "$(bytes "$device")" "$(host bytes ram0)"
equal "blocks of the server's minimum" "$(logical_block "$device")" 512
equal "larger requests than the kernel's default" "$(cat "/sys/block/$device/queue/max_sectors_kb")" 1024
equal "again: the same device" "$(platter attach "$URI/ram0")" "$path"
equal "again by another spelling" "$(platter attach "nbd://$SERVER:$PORT/%72am0")" "$path"
check "another export of that name" exits 6 platter attach --name ram0 "$URI/ro"
check "it says which there is" said "$URI/ram0, as $path"
check "list: it is alive" soon sh -c "platter list | grep -E '^ram0 +$path +256M +no +2 +alive +$URI/ram0'"
check "list as JSON" sh -c "platter --json list | tr -d ' \n' | grep -F '\"name\":\"ram0\",\"device\":\"$path\"'"
check "status" sh -c "platter status ram0 >/tmp/said"
check "status: the connections" said "connection 1: alive"
check "status: round trips" said "round trip"
check "status by device" platter status "$path"
check "status of what isn't there" exits 3 platter status nothing
check "two connections, as processors" soon two_connections

check "mkfs" format ext4 "$device"
check "mount" mount -t ext4 "$path" /mnt
check "copy files" cp -a /tree/. /mnt
check "checksums" same_tree /mnt
check "detach of what is mounted is refused" exits 5 platter detach ram0
check "it says where" said "mounted on /mnt"
check "umount" umount /mnt
check "swap" sh -c "mkswap $path && swapon $path"
check "detach of swap is refused" exits 5 platter detach "$path"
check "it says so" said "swap on $path"
check "no swap" swapoff "$path"
sleep 600 5<"$path" &
reader=$!
check "detach of what somebody has open is refused" exits 5 platter detach ram0
check "it says who" said "open in sleep ($reader)"
check "a second later, too" exits 5 platter detach --wait=1 ram0
kill $reader
sleep 4 5<"$path" &
check "detach waits until nobody has" platter detach --wait ram0
check "it has gone" test ! -e "/sys/block/$device/pid"
check "the connections have ended" soon no_connections
check "and the supervisor" soon no_supervisor
check "nothing is left behind" sh -c '! ls /run/platter/client | grep -v lock'
check "detach again" exits 3 platter detach ram0

equal "a device of one's choice" "$(platter attach --device nbd7 --name seven --connections 1 "$URI/ram0")" /dev/nbd7
equal "one connection" "$(host connections)" 1
check "another one read-only" sh -c "platter attach --read-only --name reader '$URI/disk' >/tmp/path"
device=$(sed s,/dev/,, /tmp/path)
equal "it is" "$(cat "/sys/block/$device/ro")" 1
equal "its size, to the sector" "$(bytes "$device")" "$(host bytes disk)"
check "an export that can't be written" sh -c "platter attach '$URI/ro' >/tmp/path"
check "detach all" platter detach --all
check "all have gone" soon no_supervisor
check "no connections" soon no_connections

equal "a disk to be partitioned" "$(platter attach --device nbd5 "$URI/disk")" /dev/nbd5
check "partition" sh -c "printf 'n\np\n1\n\n\nw\n' | fdisk /dev/nbd5"
check "it is there" soon test -b /dev/nbd5p1
check "mkfs.xfs" format xfs nbd5p1
check "mount xfs" mount -t xfs /dev/nbd5p1 /mnt
check "copy files to it" cp -a /tree/. /mnt
check "detach is refused" exits 5 platter detach disk
check "with the partition's mount" said "mounted on /mnt"
check "umount xfs" umount /mnt
check "detach the partitioned one" platter detach disk
equal "attach it again" "$(platter attach --device nbd5 "$URI/disk")" /dev/nbd5
check "the partition is there at once" test -b /dev/nbd5p1
check "xfs_repair" xfs_repair -n /dev/nbd5p1
check "mount it again" mount -t xfs /dev/nbd5p1 /mnt
check "its checksums" same_tree /mnt
check "unmount and detach it, by device" platter detach --umount /dev/nbd5
check "it isn't mounted" sh -c "! grep ' /mnt ' /proc/mounts"
check "the same export by nbd-client" attach nbd5 disk
check "whose partitions appear when it is opened" sh -c "dd if=/dev/nbd5 of=/dev/null count=1 && test -b /dev/nbd5p1"
check "mount by nbd-client" mount -t xfs /dev/nbd5p1 /mnt
check "checksums by nbd-client" same_tree /mnt
check "umount by nbd-client" umount /mnt
check "detach by nbd-client" detach nbd5

equal "a device that is asked for" "$(platter attach --device nbd6 --name first "$URI/ram0")" /dev/nbd6
echo "errors are expected" >/dev/kmsg
begin=$(cut -d. -f1 /proc/uptime)
check "and is taken" exits 5 platter attach --device nbd6 --name second "$URI/ro"
check "it says by what" said "/dev/nbd6 is taken: it is $URI/ram0; "
at_most() {
    [ "$1" -le "$2" ] || { echo "$1 is more than $2"; return 1; }
}
check "at once" at_most $(($(cut -d. -f1 /proc/uptime) - begin)) 2
check "the kernel wasn't asked" refused sh -c "dmesg | grep 'already in use'"
check "of nbd-client's, too" sh -c "nbd-client $SERVER $PORT /dev/nbd8 -N ro -persist >/dev/null && [ -e /sys/block/nbd8/pid ]"
check "that is taken" exits 5 platter attach --device nbd8 --name second "$URI/ro"
check "it says that, too" said "/dev/nbd8 is taken: it is "
check "nbd-client detaches it" detach nbd8
check "detach it" platter detach first
check "a disk that takes its time" server_does export add slow=delay:ram0
check "for a flush" server_does param delay flush_us 3000000
equal "attach it" "$(platter attach --device nbd6 --name first "$URI/slow")" /dev/nbd6
platter detach first &
job=$!
check "detach it, which takes as long" soon sh -c "ls -l /proc/$job/fd | grep nbd6"
check "meanwhile that is waited for" platter attach --device nbd6 --name second "$URI/ro"
check "it has been detached" wait $job
check "it is another one now" is second alive
check "detach that" platter detach second
check "its export ends" server_does export remove slow

check "a disk that can't be read, on its first block" server_does export add spoilt=error:ro
check "as if its server were broken" server_does param error per_million 1000000
check "is refused" exits 8 platter attach --device nbd6 "$URI/spoilt"
check "it says why" said "/dev/nbd6 isn't usable: its first block can't be read: Input/output error"
check "and isn't attached" test ! -e /sys/block/nbd6/pid
check "nor is anything left of it" exits 3 platter detach spoilt
check "that export ends" server_does export remove spoilt
check "a device without a node" exits 10 unshare -m sh -c "mount -t tmpfs none /dev && platter attach --device nbd6 $URI/ram0"
check "what is wrong there" said "/dev/nbd6 isn't usable: there is no such node"
check "it isn't attached, either" test ! -e /sys/block/nbd6/pid
echo "errors are a fault" >/dev/kmsg

check "no such export" exits 8 platter attach "$URI/nothing"
check "it says how to find one" said "platter exports URI"
check "no server" exits 7 platter attach "nbd://$SERVER:1/ram0"
check "it says why" said "Connection refused"
check "no URI" exits 2 platter attach hello
check "not a name" exits 2 platter attach --name nbd0 "$URI/ram0"
check "no TLS there" exits 9 platter attach "nbds://$SERVER:$PORT/ram0"
check "exports" sh -c "platter exports $URI | grep ram0"
check "info" sh -c "platter info $URI/ram0 | grep 'size *$(host bytes ram0)'"
check "ping" sh -c "platter ping $URI/ram0 | grep ms"
check "nobody was left behind" soon no_supervisor
check "no connection, either" soon no_connections
