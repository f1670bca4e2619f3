//! What a guest is made of: QEMU, a kernel with the drivers of its NICs, busybox. Fetched once, about 190 MB, and kept
//! unpacked in the user's cache directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Apt;
use crate::shell::{Failure, Result, output};

/// Where the guest's kernel comes from, whatever release this machine is: igb receives nothing in zero-copy mode with
/// the kernels of the stable releases.
const KERNEL_SUITE: &str = "trixie-backports";
/// The drivers of the NICs.
const DRIVERS: [&str; 2] = ["igb", "virtio_net"];

/// What a guest is made of.
pub(crate) struct Parts {
    /// Everything here has been fetched.
    cache: PathBuf,
    /// `qemu-system-x86_64`.
    pub(crate) qemu: PathBuf,
    /// busybox that needs no libraries.
    pub(crate) busybox: PathBuf,
    /// The kernel's image.
    pub(crate) kernel: PathBuf,
    /// Its modules, in the order in which they can be loaded.
    pub(crate) modules: Vec<PathBuf>,
}

impl Parts {
    /// A command that runs QEMU or a program that came with it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", libraries(&self.cache));
        command
    }

    /// Where QEMU's firmware lies.
    pub(crate) fn firmware(&self) -> [PathBuf; 3] {
        let tools = self.cache.join("tools");
        ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"].map(|dir| tools.join(dir))
    }
}

fn libraries(cache: &Path) -> OsString {
    cache.join("tools/usr/lib/x86_64-linux-gnu").into_os_string()
}

/// Fetches what is missing; silent when nothing is.
pub(crate) fn parts() -> Result<Parts> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Failure("guests are emulated on x86-64 only".into()));
    }
    let codename = codename()?;
    let cache = cache_dir()?;
    let failed = |error: std::io::Error| Failure(format!("{}: {error}", cache.display()));
    fs::create_dir_all(&cache).map_err(failed)?;
    // Whoever comes at the same time waits, and finds all of it there. Let go when the file is closed.
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;

    let mut fetch = Fetch { cache: &cache, codename: &codename, apt: None };
    fetch.tools()?;
    let kernel = fetch.kernel()?;
    let order = fs::read_to_string(kernel.join("order")).map_err(failed)?;
    let modules = order.lines().map(|name| kernel.join(format!("{name}.ko"))).collect();
    let tools = cache.join("tools");
    Ok(Parts {
        qemu: tools.join(QEMU),
        busybox: tools.join(BUSYBOX),
        kernel: kernel.join("vmlinuz"),
        modules,
        cache,
    })
}

const QEMU: &str = "usr/bin/qemu-system-x86_64";
const BUSYBOX: &str = "bin/busybox";

/// The name of this machine's Debian release.
fn codename() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field =
        |name: &str| release.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim_matches('"'));
    match (field("ID="), field("VERSION_CODENAME=")) {
        (Some("debian"), Some(codename)) => Ok(codename.to_owned()),
        _ => Err(Failure("guests are made of Debian's packages, and this is another system".into())),
    }
}

fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let caches = caches.ok_or_else(|| Failure("neither HOME nor XDG_CACHE_HOME is set".into()))?;
    Ok(caches.join("bypath/guest"))
}

/// Fetching, with apt's lists read at the first need.
struct Fetch<'a> {
    cache: &'a Path,
    codename: &'a str,
    apt: Option<Apt>,
}

impl Fetch<'_> {
    /// QEMU 8 or newer, which has igb: Debian 12 has it among its backports.
    fn qemu_suite(&self) -> &str {
        if self.codename == "bookworm" { "bookworm-backports" } else { self.codename }
    }

    fn apt(&mut self) -> Result<&Apt> {
        if self.apt.is_none() {
            println!("setup: fetching what emulated machines are made of into {}", self.cache.display());
            let suites = [self.codename, self.qemu_suite(), KERNEL_SUITE];
            self.apt = Some(Apt::update(&self.cache.join("apt"), self.codename, &suites)?);
        }
        self.apt.as_ref().ok_or_else(|| Failure("apt is not ready".into()))
    }

    fn tools(&mut self) -> Result<()> {
        let tools = self.cache.join("tools");
        let works = || {
            let mut qemu = Command::new(tools.join(QEMU));
            let qemu = qemu.arg("--version").env("LD_LIBRARY_PATH", libraries(self.cache));
            output(qemu).is_some() && output(Command::new(tools.join(BUSYBOX)).arg("true")).is_some()
        };
        // Unpacked on another system it may lack libraries that were there.
        if works() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(&tools);
        let suite = self.qemu_suite().to_owned();
        let apt = self.apt()?;
        apt.unpack_with_needs(&suite, &["qemu-system-x86"], &tools)?;
        apt.unpack(&["busybox-static"], &tools)?;
        if !tools.join(BUSYBOX).exists() {
            // Where / and /usr are one.
            let _ = fs::create_dir_all(tools.join("bin"));
            let _ = fs::copy(tools.join("usr/bin/busybox"), tools.join(BUSYBOX));
        }
        let mut qemu = Command::new(tools.join(QEMU));
        match output(qemu.arg("--version").env("LD_LIBRARY_PATH", libraries(self.cache))) {
            Some(_) => Ok(()),
            None => Err(Failure(format!("{} does not run", tools.join(QEMU).display()))),
        }
    }

    /// The directory of a kernel and its modules.
    fn kernel(&mut self) -> Result<PathBuf> {
        let kernels = self.cache.join("kernel");
        // The newest of those fetched; a newer one is not looked for.
        let ready = |dir: &PathBuf| dir.join("order").exists() && dir.join("vmlinuz").exists();
        let fetched = fs::read_dir(&kernels).into_iter().flatten().flatten().map(|entry| entry.path());
        if let Some(dir) = fetched.filter(ready).max() {
            return Ok(dir);
        }
        let tree = self.cache.join("unpacked");
        let _ = fs::remove_dir_all(&tree);
        let apt = self.apt()?;
        let none = || Failure(format!("no kernel in {KERNEL_SUITE}"));
        let version = apt.newest("linux-image-amd64", KERNEL_SUITE).ok_or_else(none)?;
        let text = apt.show(&format!("linux-image-amd64={version}")).ok_or_else(none)?;
        let release = release_in(&text).ok_or_else(none)?;
        // Since 6.19 the image's package only brings two others.
        let (binary, modules) = (format!("linux-binary-{release}"), format!("linux-modules-{release}"));
        let image = format!("linux-image-{release}");
        let split = apt.show(&modules).is_some();
        let packages = if split { vec![binary.as_str(), modules.as_str()] } else { vec![image.as_str()] };
        apt.unpack(&packages, &tree)?;

        let fresh = self.cache.join("kernel.new");
        let _ = fs::remove_dir_all(&fresh);
        let failed = |error: std::io::Error| Failure(format!("{}: {error}", fresh.display()));
        fs::create_dir_all(&fresh).map_err(failed)?;
        fs::create_dir_all(&kernels).map_err(failed)?;
        let mut order = Vec::new();
        for driver in DRIVERS {
            add_module(&tree, &fresh, driver, &mut order)?;
        }
        let image = find(&tree, &|name| name.starts_with("vmlinuz")).ok_or_else(none)?;
        fs::copy(image, fresh.join("vmlinuz")).map_err(failed)?;
        fs::write(fresh.join("order"), order.join("\n")).map_err(failed)?;
        fs::rename(&fresh, kernels.join(&release)).map_err(failed)?;
        let _ = fs::remove_dir_all(&tree);
        Ok(kernels.join(release))
    }
}

/// The release of the kernel that the package without a version depends on.
fn release_in(description: &str) -> Option<String> {
    let depends = description.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let mut packages = depends.split([',', ' ']).map(str::trim);
    packages.find_map(|package| package.strip_prefix("linux-image-")).map(str::to_owned)
}

/// Unpacks a module behind those it depends on. What is not there is built in.
fn add_module(tree: &Path, to: &Path, name: &str, order: &mut Vec<String>) -> Result<()> {
    if order.iter().any(|known| known == name) {
        return Ok(());
    }
    let wanted = |file: &str| {
        file.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == name.replace('-', "_"))
    };
    let Some(file) = find(tree, &wanted) else { return Ok(()) };
    let bytes = uncompressed(&file)?;
    let information = bytes.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let needs = information.filter_map(|text| text.strip_prefix("depends=")).next().unwrap_or_default();
    for need in needs.split(',').filter(|need| !need.is_empty()) {
        add_module(tree, to, need, order)?;
    }
    let target = to.join(format!("{name}.ko"));
    fs::write(&target, bytes).map_err(|error| Failure(format!("{}: {error}", target.display())))?;
    order.push(name.to_owned());
    Ok(())
}

fn uncompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => "cat",
    };
    let mut command = Command::new(program);
    if program != "cat" {
        command.args(["-d", "-c"]);
    }
    let unpacked = command.arg(file).output().map_err(|error| Failure(format!("{program}: {error}")))?;
    if !unpacked.status.success() {
        return Err(Failure(format!("{program} cannot unpack {}", file.display())));
    }
    Ok(unpacked.stdout)
}

/// The first file below a directory whose name suits.
fn find(dir: &Path, suits: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir).ok()?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    entries.iter().find_map(|entry| {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            return find(&entry.path(), suits);
        }
        (kind.is_file() && suits(&entry.file_name().to_string_lossy())).then(|| entry.path())
    })
}

#[cfg(test)]
mod tests {
    use super::release_in;

    #[test]
    fn the_release_of_the_newest_kernel_is_read_off_the_package_that_depends_on_it() {
        let text = "Package: linux-image-amd64\nDepends: linux-image-7.2.1+deb13-amd64 (= 7.2.1-1)\n";
        assert_eq!(release_in(text).as_deref(), Some("7.2.1+deb13-amd64"));
        assert_eq!(release_in("Package: other\n"), None);
    }
}
