//! A kernel that has no nf_tables: what is said of it, and what to do. The kernel's own refusal is
//! given by a seccomp filter of the test's thread, which what it starts inherits.

use std::process::Command;

use netlink_tests::in_new_namespace;
use netlink_tests::node;
use nix::libc;
use windlass::converge::network::Filter;
use windlass::host::Machine;

const HINT: &str = "hint: the kernel needs nf_tables with nft_masq, nft_ct and the inet family: look \
                    with `nft list tables` and `modprobe nf_tables`";

#[test]
fn a_kernel_without_nf_tables_is_named_with_what_it_needs() {
    in_new_namespace(async || {
        take_netfilter_away();
        let list = ["--stateless", "list", "table", "inet", "windlass"];
        let nft = Command::new("nft").args(list).output().expect("nft");
        let kernel = String::from_utf8(nft.stderr).expect("text");
        assert!(kernel.contains("Protocol not supported"), "{kernel}");
        let kernel = kernel.trim();

        let machine = Machine::this();
        let error = Filter::default().ensure(&machine, &node::filter()).await.expect_err("refused");
        let said = format!("{error:#}");
        assert_eq!(said, format!("`nft {}` failed: {kernel}\n{HINT}", list.join(" ")));

        let error = machine.replace_packet_filter(&node::filter()).await.expect_err("refused");
        let said = format!("{error:#}");
        assert_eq!(said, format!("nft refused the table `inet windlass`: {kernel}\n{HINT}"));
    });
}

/// From now on `socket(AF_NETLINK, …, NETLINK_NETFILTER)` of this thread fails as it does in a kernel
/// that was built without netfilter's netlink ("netlink(7)").
#[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper in a crate that is here already")]
fn take_netfilter_away() {
    /// Offsets in `struct seccomp_data`, of the lower halves where a number is of 64 bits.
    const NUMBER: u32 = 0;
    const FAMILY: u32 = 16;
    const PROTOCOL: u32 = 32;
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0);
    let unless =
        |value, skip| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, skip);
    let answer = |value| instruction(libc::BPF_RET | libc::BPF_K, value, 0);
    let number = |value: i64| u32::try_from(value).expect("a small number");
    let mut filter = [
        load(NUMBER),
        unless(number(libc::SYS_socket), 5),
        load(FAMILY),
        unless(number(libc::AF_NETLINK.into()), 3),
        load(PROTOCOL),
        unless(number(libc::NETLINK_NETFILTER.into()), 1),
        answer(libc::SECCOMP_RET_ERRNO | number(libc::EPROTONOSUPPORT.into())),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let length = u16::try_from(filter.len()).expect("a short program");
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().expect("no new privileges");
    // SAFETY: the program is whole and outlives the call; the kernel copies and checks it.
    let set = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    assert_eq!(set, 0, "seccomp: {}", std::io::Error::last_os_error());
}

/// One instruction of the filter; a comparison that fails skips so many.
fn instruction(code: u32, value: u32, skip: u8) -> libc::sock_filter {
    let code = u16::try_from(code).expect("an instruction");
    libc::sock_filter { code, jt: 0, jf: skip, k: value }
}
