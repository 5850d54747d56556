# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 29
# systemd starts what attaches, in the right order, and starts it again; platter asks it to, where it runs.

URI=nbd://$SERVER:$PORT

main_pid() {
    systemctl show --property=MainPID --value "platter@$1.service"
}

nothing_failed() {
    systemctl --failed --plain --no-legend
    [ -z "$(systemctl --failed --plain --no-legend)" ]
}

another_pid() {
    local pid
    pid=$(main_pid data)
    [ "$pid" -ne 0 ] && [ "$pid" -ne "$1" ]
}

check "booted" systemctl is-active multi-user.target
check "nothing has failed" nothing_failed
check "the disk of fstab is mounted" mountpoint /data
check "checksums" same_tree /data
check "its service is active" systemctl is-active platter@data.service
device=$(basename "$(readlink -f /dev/disk/by-id/nbd-data)")
check "a name for it" test -b /dev/disk/by-id/nbd-data
equal "another name" "$(readlink -f "/dev/disk/by-path/nbd-$SERVER:$PORT-data")" "/dev/$device"
check "platter knows it" is data alive

pid=$(main_pid data)
check "its supervisor is killed" kill -KILL "$pid"
check "another one comes" soon another_pid "$pid"
check "and is well" soon is data alive
equal "with the same connections" "$(reconnects data)" 0
check "it has them from systemd" sh -c "platter status data | grep 'alive, for'"
check "write" sh -c "cp -a /tree/crypto /data/more && sync"

equal "attach by hand" "$(platter attach --name two "$URI/ram0" | sed 's/[0-9]*$//')" /dev/nbd
check "a service does it" systemctl is-active platter@two.service
check "again" platter attach --name two "$URI/ram0"
check "its pages of memory are locked" sh -c "grep -E 'VmLck:[[:space:]]*[1-9]' /proc/$(main_pid two)/status"
check "mkfs" mkfs.ext4 -q -F /dev/disk/by-id/nbd-two
check "detach" platter detach two
check "the service has ended" soon sh -c "systemctl is-active platter@two.service | grep inactive"
equal "not failed" "$(systemctl is-failed platter@two.service)" inactive
check "attach with a service of its own name" platter attach --name three "$URI/disk"
check "stop the service" systemctl stop platter@three.service
check "that detaches" exits 3 platter detach three
check "no such export" exits 8 platter attach "$URI/nothing"
check "it says so" said "NBD_REP_ERR_UNKNOWN"
check "detach of what fstab mounted" exits 5 platter detach data
check "it says where" said "mounted on /data"
