# On the server: shares /mnt/export/smb by SMB, with samba. OTHERS are the unpacked packages.
mkdir -p /run/samba /var/log/samba /mnt/export/smb
cat > /run/samba/smb.conf <<'END'
[global]
  server role = standalone server
  map to guest = bad user
  guest account = root
  state directory = /run/samba
  cache directory = /run/samba
  lock directory = /run/samba
  private dir = /run/samba
  pid directory = /run/samba
  ncalrpc dir = /run/samba/ncalrpc
  log file = /run/samba/log
  load printers = no
  disable spoolss = yes
  bind interfaces only = yes
  interfaces = 10.77.0.1/24
  smb ports = 445
  server min protocol = SMB2
[n]
  path = /mnt/export/smb
  read only = no
  guest ok = yes
  guest only = yes
  force user = root
END
pgrep -x smbd > /dev/null || "$RIG/other" usr/sbin/smbd -D -s /run/samba/smb.conf
for _ in $(seq 100); do
  # A connection can be made.
  (exec 9<> /dev/tcp/10.77.0.1/445) 2> /dev/null && exit 0
  sleep 0.1
done
cat /run/samba/log
exit 1
