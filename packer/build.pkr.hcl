# The one build: whatever the machine is, the same steps make it an image of nodes, and the last of them
# fails where the image would not boot.

build {
  source "amazon-ebs.node" {
    name          = "amd64"
    ami_name      = local.amazon.amd64.ami
    instance_type = "m7i.large"
    tags          = local.amazon.amd64.tags
    snapshot_tags = local.amazon.amd64.tags
    source_ami_filter {
      owners      = [local.base.owner]
      filters     = local.amazon.amd64.base
      most_recent = true
    }
  }
  source "amazon-ebs.node" {
    name          = "arm64"
    ami_name      = local.amazon.arm64.ami
    instance_type = "m7g.large"
    tags          = local.amazon.arm64.tags
    snapshot_tags = local.amazon.arm64.tags
    source_ami_filter {
      owners      = [local.base.owner]
      filters     = local.amazon.arm64.base
      most_recent = true
    }
  }
  source "qemu.node" {
    name = "vm"
  }

  provisioner "shell" {
    inline = ["mkdir -p ${local.folder}"]
  }
  # bake.toml with the files beside it.
  provisioner "file" {
    source      = "${dirname(abspath(var.bake))}/"
    destination = "${local.folder}"
  }
  provisioner "file" {
    source      = "${path.root}/../selinux"
    destination = "${local.folder}"
  }
  # bake.toml need not name the program. It comes last: one that happens to lie beside bake.toml is not what
  # bakes.
  provisioner "file" {
    only        = ["amazon-ebs.amd64", "qemu.vm"]
    source      = var.windlass_amd64
    destination = "${local.folder}/windlass"
  }
  provisioner "file" {
    only        = ["amazon-ebs.arm64"]
    source      = var.windlass_arm64
    destination = "${local.folder}/windlass"
  }
  provisioner "shell" {
    script           = "${path.root}/provision.sh"
    environment_vars = ["WINDLASS_SHA256=${local.program_sha256[source.name]}"]
    execute_command  = "chmod +x {{ .Path }} && sudo env {{ .Vars }} {{ .Path }} ${local.folder} ${basename(var.bake)}"
    # The program, packages, images: minutes where a mirror is slow, not more.
    timeout = "30m"
  }
  # What the image says of itself: every part with version, digest and licence. Over the connection that
  # is open; the key that would open another is gone.
  provisioner "file" {
    direction   = "download"
    source      = "/etc/windlass/image.json"
    destination = "${var.name}-${source.name}-image.json"
  }
  provisioner "file" {
    direction   = "download"
    source      = "/etc/windlass/image.spdx.json"
    destination = "${var.name}-${source.name}-image.spdx.json"
  }

  post-processor "manifest" {
    output = "${var.name}-manifest.json"
    custom_data = {
      kubernetes     = local.kubernetes
      bake_sha256    = local.bake_sha256
      program_sha256 = local.program_sha256[source.name]
    }
  }
}

locals {
  # By the name of the source.
  program_sha256 = {
    amd64 = var.windlass_amd64_sha256
    arm64 = var.windlass_arm64_sha256
    vm    = var.windlass_amd64_sha256
  }
  # Not /tmp, which is memory on Amazon Linux.
  folder = "/var/tmp/windlass-bake"
}
