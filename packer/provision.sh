#!/bin/sh
# Makes the machine that this runs on an image of nodes: `provision.sh FOLDER BAKE.TOML`, as root, with the
# program `windlass` in FOLDER. Packer runs it; so may a person or a Dockerfile.
set -eu
folder=$1 bake=$2

# The program is what the image's tag will say that it is. Whoever makes no such tag sets no variable.
if [ "${WINDLASS_SHA256-unsaid}" != unsaid ]; then
    found=$(sha256sum < "$folder/windlass")
    if [ "${found%% *}" != "$WINDLASS_SHA256" ]; then
        echo "the program windlass has the SHA-256 ${found%% *}, wanted \`$WINDLASS_SHA256\`" >&2
        echo 'hint: -var windlass_amd64_sha256=$(sha256sum < FILE | cut -d" " -f1), and so for arm64' >&2
        exit 1
    fi
fi

# cloud-init installs and configures for a while after sshd answers; that it found something to complain
# of is no reason to stop.
if command -v cloud-init > /dev/null; then
    cloud-init status --wait > /dev/null || true
fi

# What a node needs of its distribution: nft for the pod network, conntrack for kube-proxy, chrony for a
# clock that AWS accepts, apparmor_parser where the kernel has AppArmor and containerd so wants it.
. /etc/os-release
case $ID in
    debian | ubuntu)
        export DEBIAN_FRONTEND=noninteractive
        # A node is replaced, not upgraded: by the next image. Nor may they hold a lock now; where no
        # systemd runs there is nothing to stop.
        set -- apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service
        systemctl stop "$@" || true
        systemctl mask "$@"
        # A lock is waited for when packages are installed, but not when their lists are fetched; nor is
        # a list that could not be fetched an error unless told so.
        tries=1
        until apt-get update -q -o APT::Update::Error-Mode=any; do
            if [ "$tries" -eq 6 ]; then
                echo "package lists cannot be fetched, tried $tries times" >&2
                exit 1
            fi
            tries=$((tries + 1))
            sleep 10
        done
        apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
            apparmor ca-certificates chrony conntrack iproute2 kmod nftables
        apt-get clean
        ;;
    amzn)
        dnf install -q -y ca-certificates chrony conntrack-tools container-selinux iproute kmod nftables
        dnf clean -q all
        ;;
    *)
        echo "this is $ID, wanted debian, ubuntu or amzn" >&2
        exit 1
        ;;
esac

cd "$folder"
chmod 0755 windlass
./windlass bake "$bake"

# Labels for what lies in other places than Amazon Linux' own packages put it. Whether SELinux enforces is
# the image's business (as it comes, it only logs); labels that are right cost nothing where it does not.
if [ "$ID" = amzn ]; then
    semodule --install selinux/windlass.cil
    restorecon -R -F /usr/local/bin /usr/libexec /opt /etc /var/lib
fi

cd /
rm -rf "$folder"
# Everything that would keep this image from booting, at once; any of it fails the build. By its path: sudo
# of Amazon Linux does not look in /usr/local/bin.
/usr/local/bin/windlass bake --check
