# A disk image for qemu, by the same steps, on a machine with neither an account at AWS nor KVM. The
# disk that it begins with must boot by itself and have sshd, a key for `ssh_key` and a DHCP client.

source "qemu" "node" {
  iso_url      = var.disk
  iso_checksum = "none"
  disk_image   = true
  format       = "qcow2"
  # The base stays as it is, and what the build changed is a file of its own.
  use_backing_file = true
  skip_resize_disk = true
  vm_name          = "${var.name}-${local.kubernetes}.qcow2"
  output_directory = "${var.name}-vm"

  # Software emulation is the same everywhere, and slow: waits are long.
  accelerator    = "none"
  machine_type   = "q35"
  cpus           = 2
  memory         = 1536
  headless       = true
  net_device     = "virtio-net"
  disk_interface = "virtio"
  qemuargs       = [["-cpu", "max"]]

  ssh_username         = "root"
  ssh_private_key_file = var.ssh_key
  ssh_timeout          = "10m"
  shutdown_command     = "systemctl poweroff"
  shutdown_timeout     = "5m"
}
