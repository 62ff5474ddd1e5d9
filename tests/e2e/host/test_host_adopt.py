"""No deployment overwrites existing files without `adopt`, and destroy restores the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host
    from tests.e2e.project import Project


def test_a_file_that_differs_is_refused_with_a_diff_and_adopt_takes_and_gives_it_back(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.run(
        "printf 'line one\\nby hand\\n' > /etc/theirs; chmod 0604 /etc/theirs; chown nobody:adm /etc/theirs"
    )
    declared = 'File("theirs", host="web1", path="/etc/theirs", content="line one\\ndeclared\\n"{})'
    project.program(declared.format(""))
    refused = project.up(fails=True)
    refused.has('web1: File "theirs" (/etc/theirs)', "-by hand", "+declared", "adopt=True")
    assert refused.output.count("adopt=True") == 1
    assert host.read("/etc/theirs") == "line one\nby hand\n"
    assert host.run("ls -A /var/lib/portcullis/items", check=False).stdout == "", "a refusal leaves a record"

    project.program(declared.format(", adopt=True")).up()
    assert host.run("stat -c '%a %U %G' /etc/theirs").stdout == "644 root root\n"
    # Asked once is enough: taking the word out again changes nothing on the host.
    project.program(declared.format("")).up()
    assert host.read("/etc/theirs") == "line one\ndeclared\n"
    project.unchanged()

    project.destroy()
    assert host.read("/etc/theirs") == "line one\nby hand\n"
    assert host.run("stat -c '%a %U %G' /etc/theirs").stdout == "604 nobody adm\n"


def test_an_adopted_file_that_somebody_deleted_comes_back_by_destroy(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.write("/etc/precious", "the original\n")
    project.program(
        'File("it", host="web1", path="/etc/precious", content="ours\\n", mode="0600", adopt=True)'
    ).up()
    host.run("rm /etc/precious")
    project.destroy()
    assert host.read("/etc/precious") == "the original\n"
    assert host.run("ls /var/lib/portcullis", check=False).stdout == ""


def test_an_adopted_link_comes_back_as_a_link(project: Project, module_host: Host) -> None:
    host = module_host
    host.run("echo target > /etc/target; ln -s target /etc/link")
    declared = 'File("link", host="web1", path="/etc/link", content="ours\\n"{})'
    project.program(declared.format("")).up(fails=True).has("symbolic link to target", "adopt=True")
    project.program(declared.format(", adopt=True")).up()
    assert host.run("cat /etc/link /etc/target").stdout == "ours\ntarget\n"
    project.destroy()
    assert host.run("readlink /etc/link; cat /etc/target").stdout == "target\ntarget\n"


def test_a_secret_stands_in_no_refusal(project: Project, module_host: Host) -> None:
    module_host.run("printf 'old-secret-on-host\\n' > /etc/password; chmod 0600 /etc/password")
    project.secret("password", "new-secret-declared")
    project.program("""
        File("password", host="web1", path="/etc/password", mode="0600",
             content=pulumi.Config().require_secret("password"))
    """)
    refused = project.up(fails=True)
    refused.has('web1: File "password" (/etc/password)', "content", "adopt=True")
    refused.lacks("old-secret-on-host", "new-secret-declared")
    assert module_host.read("/etc/password") == "old-secret-on-host\n"


def test_an_equal_file_and_one_that_a_package_shipped_need_no_adopt(
    project: Project, module_host: Host
) -> None:
    host = module_host
    shipped = host.read("/etc/nftables.conf")
    host.run("printf 'equal\\n' > /etc/equal")
    project.program("""
        File("equal", host="web1", path="/etc/equal", content="equal\\n")
        File("shipped", host="web1", path="/etc/nftables.conf", content="# ours\\n", mode="0755")
    """).up()
    assert host.read("/etc/nftables.conf") == "# ours\n"
    project.destroy()
    assert host.read("/etc/nftables.conf") == shipped
    assert host.read("/etc/equal") == "equal\n"

    host.run("echo '# by hand' >> /etc/nftables.conf")
    project.up(fails=True).has('web1: File "shipped" (/etc/nftables.conf)', "-# by hand", "adopt=True")
    host.run("sed -i '$d' /etc/nftables.conf")


def test_a_file_of_another_stack_is_refused_by_its_name_until_adopted(
    make_project: Callable[..., Project], module_host: Host
) -> None:
    first, second = make_project(), make_project()
    declared = 'File("{}", host="web1", path="/etc/shared", content="{}\\n"{})'
    first.program(declared.format("first", "of the first", "")).up()
    second.program(declared.format("second", "of the second", ""))
    second.up(fails=True).has(
        'web1: File "second" (/etc/shared)',
        f'belongs to the stack {first.name}/e2e (File "first")',
        "adopt=True",
    )
    assert module_host.read("/etc/shared") == "of the first\n"

    second.program(declared.format("second", "of the second", ", adopt=True")).up()
    assert module_host.read("/etc/shared") == "of the second\n"
    first.destroy()
    assert module_host.read("/etc/shared") == "of the second\n", (
        "only the owner of the file may delete the file"
    )
    second.destroy()
    assert module_host.run("ls /etc/shared", check=False).returncode != 0


def test_one_file_declared_twice_is_one_error_that_names_both(project: Project, module_host: Host) -> None:
    project.program("""
        one = File("one", host="web1", path="/etc/twice", content="one\\n")
        File("two", host="web1", path="/etc/twice", content="two\\n",
             opts=pulumi.ResourceOptions(depends_on=[one]))
    """)
    project.up(fails=True).has("/etc/twice is declared twice", 'File "one"', 'File "two"')
    project.program('File("one", host="web1", path="/etc/twice", content="one\\n")').up()
    assert module_host.read("/etc/twice") == "one\n"
    project.unchanged()
    project.destroy()


def test_a_unit_that_somebody_masked_needs_adopt_and_is_masked_again_by_destroy(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.run("systemctl mask --now cron")
    declared = 'Service("cron", host="web1", unit="cron.service"{})'
    project.program(declared.format("")).up(fails=True).has(
        'web1: Service "cron" (cron.service): enabled', "masked", "adopt=True"
    )
    project.program(declared.format(", adopt=True")).up()
    assert host.run("systemctl is-active cron").stdout == "active\n"
    project.destroy()
    assert host.run("systemctl is-enabled cron; systemctl is-active cron", check=False).stdout == (
        "masked\ninactive\n"
    )
