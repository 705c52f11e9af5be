#!/bin/bash
# The first process of a guest. ROLE, ADDRESS, RIG (the folder of this run) and PACKAGES (the
# unpacked packages) come from the kernel's command line.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ROLE ADDRESS RIG PACKAGES
GUEST=$RIG/$ROLE
exec 3<&0 > "$GUEST/boot.out" 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /mnt
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
hostname "$ROLE"
mkdir -p /mnt/export /mnt/n /var/lib/nfs/{v4recovery,rpc_pipefs,sm,sm.bak} /run/rpcbind
touch /var/lib/nfs/{etab,rmtab,state}
while read -r module; do
  # Several modules may bring the same one.
  "$RIG/insmod" "$module" 2>&1 | grep -v 'File exists'
done < "$RIG/modules"
ip link set lo up
ip address add "$ADDRESS/24" dev eth0
ip link set eth0 up
touch "$GUEST/up"
# One name a line: that of a script. Each runs by itself, in a session of its own, as a login has it.
while read -r number <&3; do
  (
    setsid --wait bash "$GUEST/$number.sh" > "$GUEST/$number.out" 2>&1 < /dev/null
    echo $? > "$GUEST/$number.tmp"
    mv "$GUEST/$number.tmp" "$GUEST/$number.code"
  ) &
done
