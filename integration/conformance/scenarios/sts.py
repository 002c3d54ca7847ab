"""Who one is."""


def run(at):
    at.step("who am I", at.sts.get_caller_identity, "Account")
