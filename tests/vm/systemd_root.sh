# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# A guest with systemd as process 1 and udev: files of packages that are installed here, and of udev, which is unpacked only.
# Sourced by run, behind lib.sh.

systemd_packages=(base-files bash coreutils dash e2fsprogs grep iproute2 kmod mount sed systemd util-linux)

# What a small guest needs none of.
systemd_masked=(systemd-networkd.service systemd-resolved.service systemd-logind.service systemd-timesyncd.service getty@.service
    serial-getty@.service getty.target systemd-firstboot.service systemd-sysusers.service systemd-pcrphase.service
    systemd-pcrphase-sysinit.service systemd-boot-system-token.service systemd-random-seed.service systemd-hwdb-update.service
    systemd-binfmt.service sys-kernel-debug.mount sys-kernel-tracing.mount systemd-update-utmp.service systemd-update-utmp-runlevel.service
    systemd-machine-id-commit.service ldconfig.service e2scrub_reap.service e2scrub_all.timer fstrim.timer apt-daily.timer)

# fetch_udev CACHE: leaves udev's files in CACHE/udev.
fetch_udev() {
    local cache=$1 new
    [ ! -d "$cache/udev" ] || return 0
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/new.XXXXXX")
    temporary+=("$new")
    (cd "$new" && apt-get -qq download udev 2>apt.log) || { cat "$new/apt.log" >&2; die "cannot download udev"; }
    dpkg -x "$new"/udev_*.deb "$new/udev"
    mv -T "$new/udev" "$cache/udev" 2>/dev/null || [ -d "$cache/udev" ]
    rm -rf "$new"
}

# copy_libraries ROOT: of all programs there.
copy_libraries() {
    local root=$1 library
    # Scripts are none of its business.
    { find "$root" -xdev -type f -perm /111 -print0 | xargs -0 -n 64 ldd 2>/dev/null || true; } | grep -o '/[^ :]*\.so[^ :]*' | sort -u |
        while read -r library; do
            [ -e "$root$library" ] || install -D "$library" "$root$library"
        done
}

# systemd_files: of the packages, without what is for people.
systemd_files() {
    local file
    dpkg -L "${systemd_packages[@]}" | sort -u | grep -vE '^/(usr/share/(doc|man|locale|lintian|bug|bash-completion|zsh)|etc/init\.d|var/lib)' |
        while read -r file; do
            if [ -L "$file" ] || [ -f "$file" ]; then
                echo "${file#/}"
            fi
        done
}

# build_systemd_root TEMP CACHE GUEST BUILT: fills TEMP/root with packages, the units in GUEST, and what BUILT installs.
build_systemd_root() {
    local root=$1/root cache=$2 guest=$3 built=$4 unit
    mkdir -p "$root"/{dev,etc/systemd/system,proc,run,sys,tmp,usr/bin,usr/lib,usr/sbin,usr/lib64,var/log,var/tmp,root,data,tab}
    for unit in bin sbin lib lib64; do
        ln -s "usr/$unit" "$root/$unit"
    done
    systemd_files | tar -C / -cf - --no-recursion -T - | tar -xf - -C "$root" --keep-directory-symlink
    tar -C "$cache/udev" -cf - . | tar -xf - -C "$root" --keep-directory-symlink
    copy_libraries "$root"
    for unit in "${systemd_masked[@]}"; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' >"$root/etc/passwd"
    getent group >"$root/etc/group"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    echo guest >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
    rm -rf "$root"/lib/udev/hwdb.d "$root"/etc/udev/hwdb.d
    ln -sf /lib/systemd/systemd "$root/init"
    install -m 644 -t "$root/etc/systemd/system" "$guest"/units/*
    mkdir -p "$root/etc/systemd/system"/{network-online,multi-user}.target.wants
    ln -sf ../guest-network.service "$root/etc/systemd/system/network-online.target.wants/"
    ln -sf /lib/systemd/system/remote-fs.target "$root/etc/systemd/system/multi-user.target.wants/"
    ln -sf test.target "$root/etc/systemd/system/default.target"
    install "$guest/run-scenarios" "$root/run-scenarios"
    make -s -C "$built" install DESTDIR="$root" >/dev/null
    copy_libraries "$root"
}

# configure_systemd_root TEMP PORT: disks that are there when it has booted, mounted and swapped to by fstab, and one that isn't.
configure_systemd_root() {
    local root=$1/root
    mkdir -p "$root/etc/platter/attach.d"
    printf 'uri = nbd://10.0.2.2:%s/data\n' "$2" >"$root/etc/platter/attach.d/data.conf"
    printf 'uri = nbd://10.0.2.2:%s/disk\nauto = no\n' "$2" >"$root/etc/platter/attach.d/later.conf"
    printf 'nbd9 10.0.2.2 ro port=%s,_name=tab\nnbd8 10.0.2.2 swap port=%s,swap\n' "$2" "$2" >"$root/etc/nbdtab"
    {
        echo '/dev/disk/by-id/nbd-data /data ext4 _netdev,x-systemd.requires=platter@data.service,x-systemd.device-timeout=60s 0 0'
        echo '/dev/nbd9 /tab ext4 ro,_netdev,x-systemd.device-timeout=60s 0 0'
        echo '/dev/nbd8 none swap nofail,x-systemd.device-timeout=60s 0 0'
    } >"$root/etc/fstab"
}
