# A disk image for qemu, by the same steps, on a machine with neither an account at AWS nor KVM. The
# disk that it begins with must boot by itself and have sshd, a key for `ssh_key`, sudo and a DHCP client.

source "qemu" "node" {
  # It stays as it is: the build has a copy.
  iso_url          = var.disk
  iso_checksum     = "none"
  disk_image       = true
  format           = "qcow2"
  skip_resize_disk = true
  vm_name          = "${var.name}-${local.kubernetes}.qcow2"
  output_directory = "${var.name}-vm"

  # Software emulation is the same everywhere, and slow: waits are long.
  qemu_binary    = var.qemu
  accelerator    = "none"
  machine_type   = "q35"
  cpus           = 2
  memory         = 1536
  headless       = true
  net_device     = "virtio-net"
  disk_interface = "virtio"
  # Without firmware of its own it boots by BIOS.
  qemuargs = concat([["-cpu", "max"]], var.firmware == "" ? [] : [["-bios", var.firmware]])

  ssh_username         = "root"
  ssh_private_key_file = var.ssh_key
  ssh_timeout          = "10m"
  shutdown_command     = "systemctl poweroff"
  shutdown_timeout     = "5m"
}
