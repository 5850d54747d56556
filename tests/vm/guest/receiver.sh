# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 25
# While the kernel can't make threads, a device is attached whose receivers then wait for each other: the supervisor has those
# behind the first get their turn.

URI=nbd://127.0.0.1

# now: hundredths of a second since the guest's start.
now() {
    tr -d . </proc/uptime | sed 's/ .*//'
}

# rescues DEVICE: the rescuer of its queue of receivers has one.
rescues() {
    cat /proc/[0-9]*/comm 2>/dev/null | grep -E "^(kworker/R-)?$1-.*\+"
}

# Of the last device with a spare thread.
number=1

# no_threads: while processor 1 is busy, the kernel makes none; and those that it has to spare are given to other devices.
no_threads() {
    local thread
    taskset -p 2 2
    # What else processor 1 has to do goes on.
    for thread in $(grep -lE '^(ksoftirqd/1|kworker/1:.*)$' /proc/[0-9]*/comm | tr -dc '0-9\n'); do
        chrt -f -p 60 "$thread"
    done
    echo -1 >/proc/sys/kernel/sched_rt_runtime_us
    taskset 2 chrt -f 50 sh -c 'while :; do :; done' &
    hog=$!
    # Whatever becomes of the scenario, those behind it need both.
    trap 'kill $hog' EXIT
    while [ $number -lt 14 ]; do
        number=$((number + 1))
        timeout 5 platter attach --device nbd$number --name spare$number --connections 1 $URI/two || return 1
        usleep 200000
        ! rescues nbd$number || return 0
    done
    return 1
}

threads() {
    kill "$hog"
    wait "$hog"
    trap - EXIT
    echo 950000 >/proc/sys/kernel/sched_rt_runtime_us
    taskset -p 3 2
}

# reads PROCESSOR BLOCK: from there, and nobody has read that before; notes for how long, in hundredths of a second.
reads() {
    local begin
    begin=$(now)
    taskset "$1" dd if=/dev/nbd0 of=/dev/null bs=4k count=1 skip="$2" iflag=direct || return 1
    echo $(($(now) - begin)) >/tmp/waited
}

ip link set lo up
check "files" truncate -s 96M /tmp/one.img /tmp/two.img
check "server" start_server one=/tmp/one.img two=/tmp/two.img
# Devices that have been detached are gone, and a new one would need a thread for its rescuer.
check "no devices" soon rmmod nbd
check "new ones" modprobe nbd
check "no more threads" no_threads
equal "attach" "$(platter attach --device nbd0 $URI/one)" /dev/nbd0
check "the receivers have one thread" soon rescues nbd0
check "threads again" threads
check "two connections, as processors" sh -c "platter status one | grep 'connection 1: alive'"
equal "that are those that were made first" "$(reconnects one)" 0
echo "errors are expected" >/dev/kmsg
check "the first is read" reads 1 1000
check "at once" test "$(cat /tmp/waited)" -lt 100
check "so is the other" reads 2 2000
say "# answered after $(cat /tmp/waited)0 ms"
check "soon, not after a request's timeout" test "$(cat /tmp/waited)" -lt 500
check "status tells why" sh -c "platter status one | grep 'last: it keeps the receiver of connection 1 waiting'"
check "all are alive" soon is one alive
equal "one was made anew" "$(reconnects one)" 1
check "every block is as it was written" load /dev/nbd0 3
check "detach" platter detach one

check "no more threads, once more" no_threads
# For the same reason it isn't nbd0.
equal "attach on the processor of the other" "$(chrt -f 60 taskset 2 timeout 20 platter attach --device nbd15 $URI/one)" /dev/nbd15
check "status tells what was done meanwhile" sh -c "platter status one | grep 'last: it keeps the receiver of connection 1 waiting'"
check "threads at last" threads
check "all are alive once more" soon is one alive
check "detach all" platter detach --all
echo "errors are a fault" >/dev/kmsg
