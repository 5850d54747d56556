# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 59
# systemd starts what attaches, in the right order, and starts it again; platter asks it to, where it runs.

URI=nbd://$SERVER:$PORT

main_pid() {
    systemctl show --property=MainPID --value "platter@$1.service"
}

# another_pid NAME PID
another_pid() {
    local pid
    pid=$(main_pid "$1")
    [ "$pid" -ne 0 ] && [ "$pid" -ne "$2" ]
}

nothing_failed() {
    systemctl --failed --plain --no-legend >/tmp/failed
    cat /tmp/failed
    [ ! -s /tmp/failed ]
}

# device_of NAME: nbdN, or a partition of that.
device_of() {
    basename "$(readlink -f "/dev/disk/by-id/nbd-$1")"
}

check "booted" systemctl is-active multi-user.target
check "nothing has failed" nothing_failed
check "the disk of fstab is mounted" mountpoint /data
check "checksums" same_tree /data
check "its service is active" systemctl is-active platter@data.service
device=$(device_of data)
check "a name for it" test -b /dev/disk/by-id/nbd-data
equal "another name" "$(readlink -f "/dev/disk/by-path/nbd-$SERVER:$PORT-data")" "/dev/$device"
check "platter knows it" soon is data alive
check "what nbdtab has is mounted" mountpoint /tab
check "its checksums" same_tree /tab
equal "on the device that it asks for" "$(device_of tab)" nbd9
check "swap is on" grep "$(device_of swap)" /proc/swaps
check "what isn't for the boot isn't there" exits 3 platter status later
equal "by its name" "$(platter attach later)" "$(readlink -f /dev/disk/by-id/nbd-later)"
check "it has a service" systemctl is-active platter@later.service
check "which systemd may end" systemctl stop platter@later.service

pid=$(main_pid data)
check "its supervisor is killed" kill -KILL "$pid"
check "another one comes" soon another_pid data "$pid"
check "and is well" soon is data alive
equal "with the same connections" "$(reconnects data)" 0
check "it has them from systemd" sh -c "platter status data | grep 'alive, for'"
check "write" sh -c "cp -a /tree/crypto /data/more && sync"

equal "attach by hand" "$(platter attach --name two "$URI/ram0" | sed 's/[0-9]*$//')" /dev/nbd
check "a service does it" systemctl is-active platter@two.service
check "again" platter attach --name two "$URI/ram0"
check "its pages of memory are locked" sh -c "grep -E 'VmLck:[[:space:]]*[1-9]' /proc/$(main_pid two)/status"
check "mkfs" mkfs.ext4 -q -F /dev/disk/by-id/nbd-two
device=$(device_of two)
attached_by=$(cat "/sys/block/$device/pid")
pid=$(main_pid two)
check "the supervisor of what nobody uses is killed" kill -KILL "$pid"
check "another one takes its place" soon another_pid two "$pid"
check "of a device that is well" soon is two alive
equal "and the same as before" "$(cat "/sys/block/$device/pid")" "$attached_by"
check "detach" platter detach two
check "the service has ended" soon sh -c "systemctl is-active platter@two.service | grep inactive"
equal "not failed" "$(systemctl is-failed platter@two.service)" inactive
check "attach with a service of its own name" platter attach --name three "$URI/disk"
check "partition it" sh -c "printf 'n\np\n1\n\n\nw\n' | fdisk /dev/disk/by-id/nbd-three"
check "the partition has a name" soon test -b /dev/disk/by-id/nbd-three-part1
equal "which is right" "$(device_of three-part1)" "$(device_of three)p1"
equal "and another" "$(readlink -f "/dev/disk/by-path/nbd-$SERVER:$PORT-disk-part1")" "/dev/$(device_of three)p1"
sleep 4 5</dev/disk/by-id/nbd-three &
check "stop the service of what is in use for a while" systemctl stop platter@three.service
check "that detaches" exits 3 platter detach three
equal "and hasn't failed" "$(systemctl is-failed platter@three.service)" inactive
check "the names have gone" soon sh -c "! ls -d /dev/disk/by-id/nbd-three*"
check "attach what has a partition" platter attach --name three "$URI/disk"
check "its name is there at once" test -b /dev/disk/by-id/nbd-three-part1
check "detach that" platter detach three
check "no such export" exits 8 platter attach "$URI/nothing"
check "it says so" said "NBD_REP_ERR_UNKNOWN"
echo "errors are expected" >/dev/kmsg
check "a device that is taken" exits 5 platter attach --device "$(device_of data)" --name four "$URI/ro"
check "what the service says of that" said "attach: "
check "no service goes on trying" soon sh -c "systemctl is-active platter@four.service | grep inactive"
check "nothing is left of it" sh -c "! ls /run/platter/attach.d | grep four"
check "nothing has failed since" nothing_failed
echo "errors are a fault" >/dev/kmsg
check "detach of what fstab mounted" exits 5 platter detach data
check "it says where" said "mounted on /data"

# It is still mounted when the guest is switched off.
check "attach by hand, and stay" platter attach --name last "$URI/ram0"
check "mkfs on it" mkfs.ext4 -q -F /dev/disk/by-id/nbd-last
check "mount it by hand" sh -c "mkdir /last && mount /dev/disk/by-id/nbd-last /last"
check "write to it" cp -a /tree/crypto /last
