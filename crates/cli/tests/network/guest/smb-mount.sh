# On a client: mounts the share at POINT, with these OPTIONS.
modules="$PACKAGES"/usr/lib/uml/modules/*/kernel
for module in lib/asn1_decoder fs/smb/common/cifs_arc4 fs/smb/common/cifs_md4 fs/smb/client/cifs \
  crypto/hmac crypto/ctr crypto/ccm crypto/cmac crypto/gf128mul crypto/ghash-generic crypto/gcm \
  crypto/sha512_generic fs/nls/nls_utf8; do
  "$RIG/insmod" $modules/$module.ko 2>&1 | grep -v 'File exists'
done
mkdir -p "$POINT"
options='username=guest,password=,vers=3.1.1,ip=10.77.0.1,sec=none'
mount -i -t cifs -o "$options,unc=\\\\10.77.0.1\\n${OPTIONS:+,$OPTIONS}" //10.77.0.1/n "$POINT"
