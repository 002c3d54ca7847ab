# What an image builder says. Needed are `bake`, the program and its digest, for each source that is built.

variable "bake" {
  type        = string
  description = "The bake.toml that says what goes into the image. Files that it names lie beside it."
}

variable "windlass_amd64" {
  type        = string
  default     = ""
  description = "The program `windlass` for x86-64: for the source amazon-ebs.amd64, and for qemu."
}

variable "windlass_arm64" {
  type        = string
  default     = ""
  description = "The program `windlass` for aarch64: for the source amazon-ebs.arm64."
}

variable "windlass_amd64_sha256" {
  type        = string
  default     = ""
  description = "Its SHA-256, as `sha256sum` prints it: a tag of the AMI, and what is uploaded must have it."
}

variable "windlass_arm64_sha256" {
  type        = string
  default     = ""
  description = "The same of the program for aarch64."
}

variable "name" {
  type        = string
  default     = "windlass"
  description = "What the AMIs' names begin with."
}

variable "base" {
  type        = string
  default     = "debian-12"
  description = "What the image is built on: debian-12, ubuntu-24.04 or al2023."
}

variable "region" {
  type        = string
  default     = "eu-west-1"
  description = "Where the AMIs are built."
}

variable "copies" {
  type        = list(string)
  default     = []
  description = "The other regions that the AMIs are copied to."
}

variable "subnet" {
  type        = string
  default     = null
  description = "Where the builder runs. The default VPC's, where there is one."
}

variable "kms_key" {
  type        = string
  default     = null
  description = "What encrypts the snapshots; the account's default key for EBS where it is not said."
}

variable "copied_kms_keys" {
  type        = map(string)
  default     = null
  description = "The same by region, for `copies`. A key of another account can only be named so."
}

variable "days" {
  type        = number
  default     = 90
  description = "After so many days an AMI is deprecated: what runs runs on, and nobody finds it by search."
}

variable "disk" {
  type        = string
  default     = ""
  description = "For qemu alone: a disk image that boots, with sshd and a key for `ssh_key`."
}

variable "ssh_key" {
  type        = string
  default     = null
  description = "For qemu alone: the private key's file."
}

variable "firmware" {
  type        = string
  default     = ""
  description = "For qemu alone: UEFI in one file, as `-bios` takes it (OVMF.fd), for a disk that boots by it."
}

variable "qemu" {
  type        = string
  default     = "qemu-system-x86_64"
  description = "For qemu alone: its program. `qemu-img` is looked for in PATH."
}

locals {
  bake_text = file(abspath(var.bake))
  # The first thing in quotes after the first `kubernetes =`: Packer reads no TOML.
  kubernetes = split("\"", split("kubernetes =", local.bake_text)[1])[1]
  # What is downloaded is in bake.toml with its SHA-256, so this one digest names all of it. Packer has no
  # function for the digest of a program's file: that one is told, and the builder looks whether it is so.
  # image.json has those of other files beside bake.toml.
  bake_sha256 = sha256(local.bake_text)
  started     = formatdate("YYYYMMDD-hhmmss", timestamp())

  # Owners are account ids of those who make the base images: anybody may publish under a name.
  bases = {
    "debian-12" = {
      owner = "136693071363"
      name  = "debian-12-{arch}-*"
      user  = "admin"
      root  = "/dev/xvda"
    }
    "ubuntu-24.04" = {
      owner = "099720109477"
      name  = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*"
      user  = "ubuntu"
      root  = "/dev/sda1"
    }
    "al2023" = {
      owner = "137112412989"
      name  = "al2023-ami-2023.*-kernel-*-{machine}"
      user  = "ec2-user"
      root  = "/dev/xvda"
    }
  }
  base = local.bases[var.base]

  tags = {
    Name                   = "${var.name}-${local.kubernetes}"
    "windlass:kubernetes"  = local.kubernetes
    "windlass:bake-sha256" = local.bake_sha256
    "windlass:base"        = var.base
  }
}
