# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 17
# Swap on what platter has attached: memory that was swapped out comes back as it was, though the network was silent meanwhile.

# Of memory for files that live in it; the rest of them goes to the disk.
LIMIT=$((20 * 1024 * 1024))
FILE=40M

# swapped MIB: more than so many are.
swapped() {
    [ "$(awk 'NR > 1 { kib += $4 } END { print kib + 0 }' /proc/swaps)" -gt $(($1 * 1024)) ]
}

# pressure: writes a file, and reads it, with a checksum in every block; little of it can be in memory.
pressure() {
    fio --name=pressure --filename=/mnt/file --rw=write --bs=16k --size=$FILE --ioengine=psync --verify=crc32c --verify_fatal=1 \
        --output=/tmp/fio.log --eta=never
}

check "attach" sh -c "platter attach --timeout 3 --dead-timeout 60 'nbd://$SERVER:$PORT/ram0' >/tmp/path"
path=$(cat /tmp/path)
check "mkswap" mkswap "$path"
check "swapon" swapon "$path"
check "files in memory" mount -t tmpfs -o size=1G none /mnt
check "a group" sh -c "mkdir -p /tmp/group && mount -t cgroup2 none /tmp/group && echo +memory >/tmp/group/cgroup.subtree_control &&
    mkdir /tmp/group/small && echo $LIMIT >/tmp/group/small/memory.max"
check "packet filter" modprobe nf_tables

echo "errors are expected" >/dev/kmsg
(
    sh -c 'echo $PPID' >/tmp/group/small/cgroup.procs
    pressure
) &
job=$!
check "memory is swapped out" within 30 swapped 6
check "the network is silent" drop tcp sport "$PORT"
check "platter notices" within 20 is ram0 dead
sleep 2
check "the network is back" heal
check "so is the connection" within 20 is ram0 alive
check "every block is as it was written" wait $job
echo "errors are a fault" >/dev/kmsg

check "much of it was swapped out" swapped 16
check "swapoff brings all of it back" sh -c "echo max >/tmp/group/small/memory.max && swapoff $path"
check "umount" umount /mnt
check "the group ends" sh -c "rmdir /tmp/group/small && umount /tmp/group"
check "detach" platter detach ram0
