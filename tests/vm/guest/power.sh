# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
# checks: 10 and 2 a round
# ext4 and xfs on a disk whose power is cut while files are written: what was fsynced is whole afterwards, and the file
# system is sound. The host cuts the power when we ask for it; other writers are in the middle of something then.
#
# In the end the disk lies, and the same has to find that something is lost.

seed=$(host seed)
rounds=$(host rounds)
say "seed $seed, $rounds rounds"

# write_back EXPIRE INTERVAL: in hundredths of a second, when what nobody fsyncs goes to the disk, too.
write_back() {
    echo "$1" >/proc/sys/vm/dirty_expire_centisecs
    echo "$2" >/proc/sys/vm/dirty_writeback_centisecs
}

expire=$(cat /proc/sys/vm/dirty_expire_centisecs)
interval=$(cat /proc/sys/vm/dirty_writeback_centisecs)
trap 'write_back "$expire" "$interval"' EXIT
write_back 10 10

# draw COUNT: $drawn becomes a number from 0 to COUNT - 1, which depends on the seed alone.
state=$seed
draw() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    drawn=$((state / 65536 % $1))
}

# step NAME COMMAND...: of a check that has many of them; it says where that ended.
step() {
    local name=$1
    shift
    "$@" >/tmp/step 2>&1 || { tail -n 2 /tmp/step; echo "at: $name"; return 1; }
}

# --- The load: writers, each with a folder of its own, ROUND/WRITER

# content PATH: what is in the file of this name, which ends in ".NUMBER". Every line says where it belongs.
content() {
    awk -v name="$1" -v lines=$((1 + ${1##*.} * 7919 % 2500)) 'BEGIN { while (i++ < lines) print name, i }'
}

# save PATH [AS]: writes a file and fsyncs it.
save() {
    content "$1" | dd of="/mnt/${2:-$1}" bs=64k conv=fsync
}

# replace FOLDER NUMBER: the file "current" becomes another one, in the usual way.
replace() {
    save "$1/current.$2" "$1/new" && mv "/mnt/$1/new" "/mnt/$1/current" && sync "/mnt/$1"
}

# write_file WRITER NUMBER: its status tells whether the disk works; what is safe is noted in /tmp/owed.WRITER.
write_file() {
    local folder=$round/$1
    case $(($2 % 4)) in
    0) content "$folder/loose.$2" >"/mnt/$folder/loose.$2" ;;
    1) replace "$folder" "$2" && echo "current $2" >>"/tmp/owed.$1" ;;
    *) save "$folder/file.$2" && echo "file.$2" >>"/tmp/owed.$1" ;;
    esac
}

# prepare WRITERS: deletes the files of the round before, and makes the folders.
prepare() {
    local writer=0
    rm -rf /mnt/[0-9]* /tmp/owed.*
    while [ $writer -lt "$1" ]; do
        mkdir -p "/mnt/$round/$writer"
        : >/tmp/owed.$writer
        writer=$((writer + 1))
    done
    sync -f /mnt
}

# write_on WRITER: until the disk fails.
write_on() {
    local number=0
    while write_file "$1" $number; do
        number=$((number + 1))
        [ $number -lt 1000 ] || return 1
    done
}

# write_and_cut WRITERS COUNT [PERCENT]: the last one writes COUNT files, and then the power is cut; the others go on
# until they notice. Whatever was fsynced with success, at any time, is owed: the disk has said so.
write_and_cut() {
    local last=$(($1 - 1)) number=0 writer=0 job jobs=
    while [ $writer -lt $last ]; do
        write_on $writer &
        jobs="$jobs $!"
        writer=$((writer + 1))
    done
    while [ $number -lt "$2" ]; do
        write_file $last $number || return 1
        number=$((number + 1))
    done
    shift 2
    echo "errors are expected" >/dev/kmsg
    server_does ioctl power cut "$@" || return 1
    for job in $jobs; do
        wait "$job" || { echo "writing goes on without power"; return 1; }
    done
    refused save "$round/$last/file.1000"
}

# lose_power TYPE WRITERS COUNT [PERCENT]: and gets rid of the file system, which does not work any more.
lose_power() {
    local type=$1
    shift
    step "attach" attach nbd0 power -C 2 &&
        step "mount" mount -t "$type" -o discard /dev/nbd0 /mnt &&
        step "prepare" prepare "$1" &&
        step "delay_us" server_does param volatile delay_us 2000 &&
        step "write" write_and_cut "$@" &&
        step "umount" umount /mnt &&
        step "detach" detach nbd0
}

# --- What is left

no_overlaps() {
    server_does ioctl power stats | grep ' overlaps 0 '
}

# power_on: as an administrator does it who leaves the export where it is: the server, too, has to be told that what it
# could not make durable is known to be lost, or every FLUSH would fail.
power_on() {
    step "overlaps" no_overlaps &&
        step "no delay_us" server_does param volatile delay_us 0 &&
        step "power" server_does ioctl power power &&
        step "clear-error" server_does clear-error power
}

# is_whole FOLDER NAME [NUMBER]: a file that is replaced may hold a later one than this NUMBER, too.
is_whole() {
    local content=$1/$2
    if [ -n "${3-}" ]; then
        read -r content _ <"/mnt/$1/$2" && at_least "${content##*.}" "$3" || return 1
    fi
    content "$content" | cmp - "/mnt/$1/$2"
}

owed_are_whole() {
    local list name number count=0
    for list in /tmp/owed.*; do
        while read -r name number; do
            is_whole "$round/${list##*.}" "$name" "$number" || return 1
            count=$((count + 1))
        done <"$list"
    done
    say "round $round: $count files are whole"
    [ $count -gt 0 ]
}

fsck() {
    case $1 in
    ext4) e2fsck -fn /dev/nbd0 ;;
    xfs) xfs_repair -n /dev/nbd0 ;;
    esac
}

# recover TYPE: the first mount plays the journal back.
recover() {
    step "attach again" attach nbd0 power &&
        step "recovery" mount -t "$1" /dev/nbd0 /mnt &&
        step "umount after recovery" umount /mnt &&
        step "fsck" fsck "$1" &&
        step "mount again" mount -t "$1" /dev/nbd0 /mnt &&
        step "files" owed_are_whole &&
        step "umount again" umount /mnt &&
        step "detach again" detach nbd0
}

# survives TYPE WRITERS COUNT
survives() {
    lose_power "$1" "$2" "$3" && power_on || return 1
    echo "errors are a fault" >/dev/kmsg
    recover "$1" && step "kernel log" kernel_log && watch_kernel_log
}

# is_caught TYPE LIE: one writer, whose FUA no other one's FLUSH makes good, and which fsyncs last of all; nothing that
# is not durable is kept. So it is certain that something is lost.
is_caught() {
    local lost
    step "lie" server_does param volatile lie "$2" && lose_power "$1" 1 7 0 && power_on || return 1
    lost=$(recover "$1") && return 1
    say "lie=$2: $(echo "$lost" | tr '\n' ' ')"
    case $lost in
    *"at: recovery" | *"at: fsck" | *"at: files") ;;
    *) return 1 ;;
    esac
    tidy
    soon unused nbd0 && server_does param volatile lie nothing && echo "errors are a fault" >/dev/kmsg
}

# make TYPE: a disk that is new needn't be trimmed.
make() {
    case $1 in
    ext4) mkfs.ext4 -q -E nodiscard /dev/nbd0 ;;
    xfs) small_xfs -K /dev/nbd0 ;;
    esac
}

# power_cuts TYPE SEED LIE (5 checks and 1 a round)
power_cuts() {
    local type=$1 writers round=0
    check "$type: a disk" server_does export add "power=volatile:320M,seed=$2,cache=1M"
    check "$type: attach" attach nbd0 power
    check "$type: mkfs" make "$type"
    detach nbd0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        draw 3
        writers=$((drawn + 2))
        draw 10
        check "$type: power cut $round" survives "$type" $writers $((drawn + 2))
    done
    round=$((round + 1))
    check "$type: lie=$3 is caught" is_caught "$type" "$3"
    check "$type: remove the disk" server_does export remove power
}

server_does modprobe volatile pieces=8 >/dev/null
power_cuts ext4 "$seed" flush
power_cuts xfs "$((seed + 1))" fua
