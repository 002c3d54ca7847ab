# AMIs for x86-64 and aarch64.
#
#     packer build -only=amazon-ebs.amd64 -var bake=bake/bake.toml -var windlass_amd64=windlass \
#       -var windlass_amd64_sha256=$(sha256sum <windlass | cut -d' ' -f1) packer

source "amazon-ebs" "node" {
  ami_description         = "Kubernetes ${local.kubernetes} node, baked by Windlass on ${var.base}"
  ami_virtualization_type = "hvm"
  ena_support             = true

  region      = var.region
  ami_regions = var.copies
  subnet_id   = var.subnet

  # The base image is public and so not encrypted; its copy is, here and in each region.
  encrypt_boot       = true
  kms_key_id         = var.kms_key
  region_kms_key_ids = var.copied_kms_keys
  launch_block_device_mappings {
    device_name           = local.base.root
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    volume_size           = 8
    delete_on_termination = true
  }

  # The builder asks its metadata service by IMDSv2 only, and so does what is launched from the AMI, also
  # from a launch template that does not say so.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"
  deprecate_at = timeadd(timestamp(), "${var.days * 24}h")

  ssh_username = local.base.user
  # Host keys are made anew at each first boot; that of this builder is nobody's.
  ssh_clear_authorized_keys = true

  run_tags = merge(local.tags, { Name = "builds ${var.name}" })
}

locals {
  # What differs between the two, by the name of the source in build.pkr.hcl: Packer has no way to make
  # two sources of one by a list.
  amazon = {
    for arch, machine in { amd64 = "x86_64", arm64 = "arm64" } : arch => {
      ami = "${var.name}-${local.kubernetes}-${var.base}-${arch}-${local.started}"
      base = {
        name                = replace(replace(local.base.name, "{arch}", arch), "{machine}", machine)
        architecture        = machine
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
      tags = merge(local.tags, { "windlass:program-sha256" = local.program_sha256[arch] })
    }
  }
}
