# On a client: mounts what the server serves by 9p at POINT.
modules="$PACKAGES"/usr/lib/uml/modules/*/kernel
for module in net/9p/9pnet net/9p/9pnet_fd fs/netfs/netfs fs/fscache/fscache fs/9p/9p; do
  "$RIG/insmod" $modules/$module.ko 2>&1 | grep -v 'File exists'
done
mkdir -p "$POINT"
options=trans=tcp,port=564,version=9p2000.L,aname=/mnt/export/p9,uname=root,access=user
mount -i -t 9p -o $options 10.77.0.1 "$POINT"
