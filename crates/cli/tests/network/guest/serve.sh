# On the server: exports an ext4 at /mnt/export, with a lease and a grace of LEASE seconds.
. "$RIG/etc.sh"
if ! grep -q ' /mnt/export ' /proc/mounts; then
  mkdir -p /mnt/dev
  mount -t devtmpfs dev /mnt/dev
  mount -t ext4 /mnt/dev/ubda /mnt/export
  # What the server knows of its clients survives a loss of power.
  mkdir -p /mnt/export/.recovery
  mount --bind /mnt/export/.recovery /var/lib/nfs/v4recovery
fi
grep -q ' /proc/fs/nfsd ' /proc/mounts || mount -t nfsd nfsd /proc/fs/nfsd
pgrep -x rpcbind > /dev/null || "$RIG/run" sbin/rpcbind -w
sleep 0.3
pgrep -x rpc.statd > /dev/null || "$RIG/run" sbin/rpc.statd --no-notify
"$RIG/run" usr/sbin/exportfs -i \
  -o rw,no_root_squash,fsid=0,no_subtree_check,insecure,sync '*:/mnt/export'
echo "$LEASE" > /proc/fs/nfsd/nfsv4leasetime
echo "$LEASE" > /proc/fs/nfsd/nfsv4gracetime
pgrep -x rpc.mountd > /dev/null || "$RIG/run" usr/sbin/rpc.mountd
# The older protocol has a grace of its own, of 50 s unless it is told.
case $VERSION in
  3) echo "$LEASE" > /proc/sys/fs/nfs/nlm_grace_period ;;
  *) older=(-N 3) ;;
esac
"$RIG/run" usr/sbin/rpc.nfsd -V 4.2 "${older[@]}" 8
[ "$(cat /proc/fs/nfsd/threads)" = 8 ]
