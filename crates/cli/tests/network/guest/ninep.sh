# On the server: serves /mnt/export/p9 by 9p, with diod.
mkdir -p /mnt/export/p9
pgrep -x diod > /dev/null ||
  "$RIG/other" usr/sbin/diod -n -N -f -l 10.77.0.1:564 -e /mnt/export/p9 -U root -S \
    > /run/diod.log 2>&1 &
for _ in $(seq 100); do
  (exec 9<> /dev/tcp/10.77.0.1/564) 2> /dev/null && exit 0
  sleep 0.1
done
cat /run/diod.log
exit 1
