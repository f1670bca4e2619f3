#!/bin/busybox sh
# The first process of a guest: makes its two NICs ready and runs the tests, whose exit code ends up on the third
# serial port. The tests' own words go to the second, the kernel's to the first.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root RUST_BACKTRACE=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/shm /run/netns
for dir in /dev/shm /tmp /run; do mount -t tmpfs none $dir; done
mount -t bpf none /sys/fs/bpf
stty -F /dev/ttyS1 -onlcr
stty -F /dev/ttyS2 -onlcr
while read -r module || [ -n "$module" ]; do insmod "/modules/$module"; done < /modules/order
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
option() { tr ' ' '\n' < /proc/cmdline | sed -n "s/^guest_$1=//p"; }
export GUEST_QUEUES=$(option queues) GUEST_DRIVER=$(option driver)
ip link set lo up
for nic in eth0 eth1; do
    ethtool -L $nic combined "$GUEST_QUEUES" 2> /dev/null # says so when there is nothing to change
    ethtool -K $nic rxhash on 2> /dev/null
    ethtool -K $nic tx off 2> /dev/null # between two virtio NICs nobody would fill the checksums in
done
sh /command > /dev/ttyS1 2>&1 < /dev/null
echo "status $?" > /dev/ttyS2
printf '\0' | dd of=/dev/port bs=1 seek=244 2> /dev/null
poweroff -f
