#!/bin/bash
# node.sh join CGROUP COMMAND…          runs a command in a cgroup of that path in every hierarchy
# node.sh init NUMBER ADDRESS STATE PACKAGES
#                                       PID 1 of a node's namespaces: its own mounts, cgroups and network; says `ready`, reaps for ever
set -eu

join() {
  local group=$1 hierarchy
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -d "$hierarchy$group" ] && echo $$ >"$hierarchy$group/cgroup.procs"
  done
  shift
  exec "$@"
}

mounts() {
  mount --make-rprivate /
  # First of all: mount(8) leaves /run/mount behind.
  mount -n -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/lock
  umount -l /proc
  mount -t proc proc /proc
}

# The root of the cgroup namespace is the node's own cgroup. The host's mounts go, for runc and the kubelet would find them first.
cgroups() {
  local -A options
  local path type given hierarchy group file
  while read -r _ path type given _; do
    case $type in cgroup | cgroup2) options[${path##*/}]="$type $given" ;; esac
  done < <(grep ' /sys/fs/cgroup/' /proc/mounts)
  umount -R /sys
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for hierarchy in "${!options[@]}"; do
    read -r type given <<<"${options[$hierarchy]}"
    group=/sys/fs/cgroup/$hierarchy
    mkdir -p "$group"
    if [ "$type" = cgroup ]; then
      given=$(tr , '\n' <<<"$given" | grep -vE '^(rw|ro|relatime|nosuid|nodev|noexec|noatime|seclabel)$' | paste -sd,)
      mount -t cgroup -o "$given" cgroup "$group"
    else
      mount -t cgroup2 cgroup2 "$group"
    fi
    mkdir -p "$group/system"
    if [ "$hierarchy" = cpuset ]; then
      for file in cpuset.cpus cpuset.mems; do cat "$group/$file" >"$group/system/$file"; done
    fi
    echo $$ >"$group/system/cgroup.procs"
  done
}

# Packages lie over /usr; what is written to /etc, /var and /opt goes to an upper layer: the host's files never change.
layers() {
  local state=$1 packages=$2 folder
  for folder in etc var opt; do
    mkdir -p "$state/layers/$folder" "$state/work/$folder"
    mount -t overlay -o "lowerdir=/$folder,upperdir=$state/layers/$folder,workdir=$state/work/$folder" overlay "/$folder"
  done
  mount -t overlay -o "lowerdir=$packages:/usr" overlay /usr
  mount --make-rshared /
}

# Some of the kernel's knobs are global, not of a namespace: the kubelet sees the values that it wants, and changes nothing.
knobs() {
  local knob value file
  mkdir -p /run/knobs
  while read -r knob value; do
    file=/run/knobs/${knob//\//_}
    echo "$value" >"$file"
    mount --bind "$file" "/proc/sys/$knob"
  done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
}

network() {
  local number=$1 address=$2
  hostname "node$number"
  printf '127.0.0.1 localhost\n%s node%s\n' "$address" "$number" >/etc/hosts
  : >/etc/resolv.conf
  ip link set lo up
  if [ "$number" = 1 ]; then
    # Where more nodes plug in; also an address for the API server, which must not be of loopback.
    ip link add node0 type bridge
    ip addr add "$address/24" dev node0
    ip link set node0 up
    # Without a default route Kubernetes finds no address of its own. Nothing answers there.
    ip route add default via 172.30.0.1 dev node0
  fi
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

case $1 in
join) join "${@:2}" ;;
init)
  mounts
  cgroups
  layers "$4" "$5"
  knobs
  network "$2" "$3"
  echo ready
  exec >&2
  while :; do sleep 1000000 & wait; done
  ;;
*) sed -n '2,4p' "$0" >&2; exit 2 ;;
esac
