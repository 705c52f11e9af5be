//! The names of containers in the paths of control groups.

/// Container programs name their groups by long hexadecimal ids. People use the first 12 digits.
const SHOWN: usize = 12;
const ID_LENGTH: usize = 64;
/// What container programs without such ids call their groups.
const PREFIXES: [&str; 4] = ["lxc.payload.", "lxc.", "machine-", "docker-"];

/// Returns the name of a container by `/proc/<pid>/cgroup`: a line `0::/path`, or several lines
/// `7:controllers:/path`. `None` if no group looks like a container's.
pub(super) fn container(cgroup: &str) -> Option<String> {
    cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(of_path)
}

/// The innermost group of a container. Inside a container there may be groups of its services.
fn of_path(path: &str) -> Option<String> {
    let groups: Vec<_> = path.split('/').filter(|group| !group.is_empty()).collect();
    let parents = std::iter::once("").chain(groups.iter().copied());
    let named: Vec<_> =
        parents.zip(&groups).filter_map(|(parent, group)| of_group(parent, group)).collect();
    named.into_iter().next_back()
}

fn of_group(parent: &str, group: &str) -> Option<String> {
    let group = group.strip_suffix(".scope").or(group.strip_suffix(".service")).unwrap_or(group);
    let (program, id) = match group.rsplit_once(['-', ':']) {
        Some((program, id)) if is_id(id) => (program.rsplit(':').next().unwrap_or(program), id),
        // Docker without systemd: `/docker/<id>`.
        _ if is_id(group) => (parent, group),
        _ => {
            let is_named = PREFIXES.iter().any(|prefix| group.starts_with(prefix));
            return is_named.then(|| group.to_owned());
        }
    };
    let id = id.get(..SHOWN)?;
    Some(if program.is_empty() { id.to_owned() } else { format!("{program}-{id}") })
}

fn is_id(text: &str) -> bool {
    text.len() >= ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::container;

    const ID: &str = "3fa9c2e81b07d5f6a4e3b2c1d0f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a291";

    #[test]
    fn containers_are_named_as_their_programs_name_them() {
        for (path, expected) in [
            (format!("/system.slice/docker-{ID}.scope"), "docker-3fa9c2e81b07"),
            (format!("/system.slice/docker-{ID}.scope/init"), "docker-3fa9c2e81b07"),
            (format!("/docker/{ID}"), "docker-3fa9c2e81b07"),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "libpod-3fa9c2e81b07"),
            (
                format!("/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-{ID}.scope"),
                "cri-containerd-3fa9c2e81b07",
            ),
            (format!("/kubepods/besteffort/pod12/{ID}"), "pod12-3fa9c2e81b07"),
            (format!("/system.slice/x.slice:cri-containerd:{ID}"), "cri-containerd-3fa9c2e81b07"),
            (format!("/{ID}"), "3fa9c2e81b07"),
            ("/lxc.payload.web/system.slice/app.service".to_owned(), "lxc.payload.web"),
            ("/machine.slice/machine-web.scope".to_owned(), "machine-web"),
        ] {
            assert_eq!(container(&format!("0::{path}\n")).as_deref(), Some(expected), "{path}");
            let many = format!("9:name=systemd:/\n4:memory:{path}\n0::/\n");
            assert_eq!(container(&many).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn other_groups_are_no_containers() {
        for path in ["/", "", "/user.slice/user-1000.slice/session-2.scope", "/init.scope", "/a/é"]
        {
            assert_eq!(container(&format!("0::{path}\n")), None, "{path}");
        }
        assert_eq!(container("garbage\n"), None);
    }
}
