#!/bin/bash
# The guest's process 1: runs /job/run.sh, hands back /results, and switches off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /results
mkdir -p /dev/pts /run/netns && mount -t devpts devpts /dev/pts
hostname guest
ip link set lo up
for m in nf_tables nft_ct nft_flow_offload nf_flow_table_inet nf_flow_table nft_chain_nat nf_conntrack_netlink veth bridge; do
  modprobe -q "$m"
done
cd /job
bash ./run.sh 2>&1 | tee /results/output
dmesg >/results/dmesg
tar -C /results -cf /dev/vdc .
sync
echo o >/proc/sysrq-trigger
sleep 60
