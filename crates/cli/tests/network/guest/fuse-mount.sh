# On a client: mounts /run/behind at POINT, by this KIND of FUSE.
"$RIG/insmod" "$PACKAGES"/usr/lib/uml/modules/*/kernel/fs/fuse/fuse.ko 2>&1 | grep -v 'File exists'
export PATH=$PATH:$OTHERS/bin:$OTHERS/usr/bin
mkdir -p "$POINT" /run/behind /run/lower /run/work
case $KIND in
  sshfs)
    printf '#!/bin/bash\nexec "%s"\n' "$OTHERS/usr/lib/openssh/sftp-server" > /run/ssh
    chmod +x /run/ssh
    "$RIG/other" usr/bin/sshfs -o ssh_command=/run/ssh x:/run/behind "$POINT"
    ;;
  bindfs) "$RIG/other" usr/bin/bindfs /run/behind "$POINT" ;;
  mergerfs) "$RIG/other" usr/bin/mergerfs -o minfreespace=0 /run/behind "$POINT" ;;
  overlay)
    "$RIG/other" usr/bin/fuse-overlayfs \
      -o lowerdir=/run/lower,upperdir=/run/behind,workdir=/run/work "$POINT"
    ;;
esac
