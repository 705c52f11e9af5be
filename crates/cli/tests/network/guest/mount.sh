# On a client: mounts the export at POINT, with this VERSION and these OPTIONS.
mkdir -p "$POINT"
case $VERSION in
  4*)
    options=vers=$VERSION,addr=10.77.0.1,clientaddr=$ADDRESS,sec=sys,nosharecache
    mount -i -t nfs4 -o "$options${OPTIONS:+,$OPTIONS}" 10.77.0.1:/ "$POINT"
    ;;
  3)
    . "$RIG/etc.sh"
    pgrep -x rpcbind > /dev/null || "$RIG/run" sbin/rpcbind -w
    sleep 0.2
    pgrep -x rpc.statd > /dev/null || "$RIG/run" sbin/rpc.statd --no-notify
    options=vers=3,proto=tcp,mountproto=tcp,nosharecache
    "$RIG/run" sbin/mount.nfs 10.77.0.1:/mnt/export "$POINT" -o "$options${OPTIONS:+,$OPTIONS}"
    ;;
esac
grep " $POINT " /proc/mounts
