# A copy of /etc with what the servers need, over the machine's own.
grep -q ' /etc ' /proc/mounts && return 0
mkdir -p /mnt/etc
tar -C / --exclude=etc/ssl -cf - etc | tar -C /mnt -xf -
cat > /mnt/etc/netconfig <<'END'
udp        tpi_clts      v     inet     udp     -       -
tcp        tpi_cots_ord  v     inet     tcp     -       -
rawip      tpi_raw       -     inet      -      -       -
local      tpi_cots_ord  -     loopback  -      -       -
unix       tpi_cots_ord  -     loopback  -      -       -
END
printf '127.0.0.1 localhost\n10.77.0.1 s\n10.77.0.2 a\n10.77.0.3 b\n' > /mnt/etc/hosts
grep -q ^statd: /mnt/etc/passwd ||
  echo 'statd:x:106:65534::/var/lib/nfs:/usr/sbin/nologin' >> /mnt/etc/passwd
grep -q ^_rpc: /mnt/etc/passwd ||
  echo '_rpc:x:107:65534::/run/rpcbind:/usr/sbin/nologin' >> /mnt/etc/passwd
mount --bind /mnt/etc /etc
