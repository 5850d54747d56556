# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# What scenarios are made of. A scenario is a script guest/NAME.sh, run by busybox's shell in a subshell, with a line
# "# checks: N" that says how many checks it makes. A check that fails ends its scenario: the rest would build on it.

SERVER=10.0.2.2 # the host's loopback, as the guest sees it

# say LINE: to the host's script.
say() {
    echo "$*" >&3
}

# host WORD...: asks the host's script (see answer there) and prints its answer.
host() {
    local reply
    say "host $*"
    read -r reply <&3
    echo "$reply"
}

# server_does WORD...: platterctl on the host; its status.
server_does() {
    local reply
    reply=$(host ctl "$@")
    echo "$reply"
    [ "${reply%% *}" = "done" ]
}

# check NAME COMMAND...
check() {
    local name="${scenario:?}: $1" status=0
    shift
    "$@" >/tmp/output 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        say "ok $name"
    else
        say "not ok $name: status $status: $(tail -n 3 /tmp/output | tr '\n' ' ')"
        exit 1
    fi
}

# equal NAME GOT WANTED
equal() {
    check "$1" compare "$2" "$3"
}

compare() {
    [ "$1" = "${2:-something}" ] || { echo "${1:-nothing} instead of ${2:-something}"; return 1; }
}

# at_least GOT WANTED
at_least() {
    [ "$1" -ge "$2" ] || { echo "$1 is less than $2"; return 1; }
}

# refused COMMAND...
refused() {
    ! "$@"
}

# attach DEVICE EXPORT [OPTION...]
attach() {
    local device=$1 export=$2
    shift 2
    nbd-client "$SERVER" "$PORT" "/dev/$device" -N "$export" "$@" && [ -e "/sys/block/$device/pid" ]
}

# detach DEVICE: disconnects, and waits until the kernel has let go of the device.
detach() {
    nbd-client -d "/dev/$1" && soon unused "$1"
}

unused() {
    [ ! -e "/sys/block/$1/pid" ] && compare "$(cat "/sys/block/$1/size")" 0
}

# soon COMMAND...: true when the command succeeds within a few seconds.
soon() {
    local turn=0
    until "$@"; do
        turn=$((turn + 1))
        [ $turn -lt 50 ] || return 1
        sleep 0.1
    done
}

# no_connections: the server has seen the end of all of them.
no_connections() {
    [ "$(host connections)" -eq 0 ]
}

# small_xfs OPTION... DEVICE: these variables, of its own tests, have it make a log of less than 64M, which would take most of
# the time here.
small_xfs() {
    TEST_DIR=/mnt TEST_DEV=/dev/nbd0 QA_CHECK_FS=1 mkfs.xfs -q -l size=8m "$@"
}

# format TYPE DEVICE: over whatever is there. ext4 shall not go on writing in the background: what it does is measured.
format() {
    case $1 in
    ext4) mkfs.ext4 -q -F -E lazy_itable_init=0 "/dev/$2" ;;
    xfs) small_xfs -f "/dev/$2" ;;
    esac
}

# same_tree DIR...: each is a whole and true copy of /tree; all are read at the same time, and not from memory.
same_tree() {
    local directory job jobs=
    echo 3 >/proc/sys/vm/drop_caches
    for directory; do
        (cd "$directory" && sha256sum -c /tree.sha256 >/dev/null) &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job" || return 1
    done
}

# file_system TYPE EXPORT FSCK...: files survive a new connection (13 checks).
file_system() {
    local type=$1 export=$2
    shift 2
    check "attach" attach nbd0 "$export"
    check "mkfs.$type" format "$type" nbd0
    check "mount" mount -t "$type" /dev/nbd0 /mnt
    check "copy files" cp -a /tree/. /mnt
    check "umount" umount /mnt
    check "detach" detach nbd0
    check "the connection has ended" soon no_connections
    check "attach to another device" attach nbd1 "$export"
    check "$*" "$@" /dev/nbd1
    check "mount again" mount -t "$type" /dev/nbd1 /mnt
    check "checksums" same_tree /mnt
    check "umount again" umount /mnt
    check "detach again" detach nbd1
}

# --- The kernel's log

# The kernel's log begins here, with a mark.
watch_kernel_log() {
    dmesg -c >/dev/null
    echo "scenario $scenario" >/dev/kmsg
}

# Lines of level "error" or worse, and other signs that something went wrong. A refused mount is the scenario's own
# affair, and so are errors of a time of which it says that it expects them. A guest that is slow to make threads may have
# platter give up a connection that is in the way of another's receiver, which is no error. The mark at the start of the
# scenario must be there, or we would be looking at nothing.
kernel_log() {
    dmesg -r >/tmp/dmesg
    dmesg -c >/dev/null
    grep -q "scenario $scenario" /tmp/dmesg || return 1
    {
        grep -E 'WARNING:|Call Trace|blocked for more' /tmp/dmesg
        sed '/] errors are expected$/,/] errors are a fault$/d' /tmp/dmesg | grep -E '^<[0-3]>|timed out'
    } >/tmp/errors
    ! grep -vE "Can't open blockdev|block nbd[0-9]+: Receive control failed \(result -32\)" /tmp/errors
}

# --- platter, with a server of the guest's own

# start_server WORD...: its log is /tmp/log.
start_server() {
    rm -f /tmp/log
    platterd -v --control /tmp/control.sock --modules /none --module-conf /none --listen tcp:127.0.0.1:10809 --memory=32M "$@" >/tmp/log 2>&1 &
    server=$!
    soon grep -q "listening on" /tmp/log
}

# drop RULE: packets that match it vanish.
drop() {
    nft add table ip silence && nft add chain ip silence in '{ type filter hook input priority 0; }' && nft add rule ip silence in "$@" drop
}

heal() {
    nft delete table ip silence
}

# within SECONDS COMMAND...
within() {
    local turns=$(($1 * 10))
    shift
    until "$@"; do
        turns=$((turns - 1))
        [ $turns -gt 0 ] || return 1
        sleep 0.1
    done
}

# crash: ends it as a crash does; what was acknowledged is in the kernel's memory.
crash() {
    kill -KILL "$server"
    wait "$server"
    return 0
}

# load DEVICE SECONDS: writes, and reads what was written, with a checksum in every block.
load() {
    fio --name=load --filename="$1" --rw=randrw --rwmixread=30 --bs=4k-32k --size=64M --ioengine=libaio --iodepth=8 --direct=1 \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 --time_based --runtime="$2" --output=/tmp/fio.log --eta=never
}

supervisor() {
    pidof platter
}

no_supervisor() {
    ! supervisor
}

# is NAME STATE: in one word, as platter list has it.
is() {
    platter list | grep -E "^$1 .* $2 "
}

# reconnects NAME: how many connections were made anew.
reconnects() {
    platter --json status "$1" | grep reconnects | tr -dc '0-9\n' | awk '{ n += $1 } END { print n }'
}

# exits STATUS COMMAND...: it does with that, and says something, for said.
exits() {
    local wanted=$1 status=0
    shift
    "$@" >/tmp/said 2>&1 || status=$?
    cat /tmp/said
    compare $status "$wanted" && [ -s /tmp/said ]
}

# said TEXT: what exits has heard has it.
said() {
    grep -F -- "$1" /tmp/said || { cat /tmp/said; return 1; }
}
