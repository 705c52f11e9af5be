//! The settings of a gateway, and how it takes its three layers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{DEFAULT_HOST, DEFAULT_PORT, Gateway, Layout, Refused, advice, record, socket};
use super::{Error, Result};
use crate::mode::{Mode, now_or_never};
use crate::rules::{Rules, deadline_after};
use crate::session::Turn;
use crate::sessions::Acquire;

/// A gateway that is to be started or looked at; see [`Gateway::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is acquired"]
pub struct GatewayBuilder {
    pub(super) state_dir: PathBuf,
    pub(super) config: Option<PathBuf>,
    pub(super) lock_dir: Option<PathBuf>,
    pub(super) host: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) multi: bool,
    pub(super) assume_local: bool,
    pub(super) timeout: Duration,
    pub(super) healthy_within: Duration,
    label: Option<String>,
}

impl GatewayBuilder {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            config: None,
            lock_dir: None,
            host: None,
            port: DEFAULT_PORT,
            multi: false,
            assume_local: false,
            timeout: Duration::from_secs(5),
            healthy_within: Duration::from_secs(30),
            label: None,
        }
    }

    /// Sets the config file, which need not exist. Default: `openclaw.json` in the state directory.
    pub fn config(mut self, config: impl Into<PathBuf>) -> Self {
        self.config = Some(config.into());
        self
    }

    /// Sets the directory of the config lock. Default: `<state dir>/tmp/openclaw-<uid>`.
    pub fn lock_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.lock_dir = Some(dir.into());
        self
    }

    /// Sets the address to listen on. Default: 127.0.0.1.
    ///
    /// Where a running gateway is looked at, the default is the address that its living owner
    /// recorded.
    pub fn host(mut self, host: IpAddr) -> Self {
        self.host = Some(host);
        self
    }

    /// Sets the port to listen on. Default: [`DEFAULT_PORT`]. Where a gateway is looked at, it is
    /// looked for there if no lock names a port.
    ///
    /// With 0 the system chooses a port. The socket is then bound before the locks are taken, so
    /// that their records name the port. That takes it from nobody.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Allows several gateways to share one config file, each with a state directory and a port of
    /// its own. They skip the config lock. Default: `false`.
    pub fn multi_gateway(mut self, multi: bool) -> Self {
        self.multi = multi;
        self
    }

    /// Sets whether all programs that use the state directory are in the PID namespace of this
    /// process, or can be seen from it; see
    /// [`SessionsBuilder::assume_local`](crate::SessionsBuilder::assume_local). Default: `false`.
    pub fn assume_local(mut self, assume_local: bool) -> Self {
        self.assume_local = assume_local;
        self
    }

    /// Sets how long all three layers together may wait. Default: 5 s. Zero means one try of each.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a supervised start gives another gateway to become healthy. Default: 30 s.
    pub fn healthy_within(mut self, bound: Duration) -> Self {
        self.healthy_within = bound;
        self
    }

    /// Sets the label that the records of the locks show. Default: `gateway`. Cut after 1024 bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Takes the three layers, or says which of them is taken.
    ///
    /// **Cancel safe** at every await: if the future is dropped, the layers that it had are
    /// released. File operations run on tokio's blocking pool.
    ///
    /// # Errors
    /// - [`Error::Refused`] with [`StateLocked`](Refused::StateLocked),
    ///   [`ConfigLocked`](Refused::ConfigLocked), [`PortTaken`](Refused::PortTaken) or
    ///   [`Bind`](Refused::Bind) if a layer cannot be taken.
    /// - [`Error::Lock`] with an error of a turn's [`acquire`](crate::Acquire::acquire) if a lock
    ///   file cannot be used.
    pub async fn acquire(self) -> Result<Gateway> {
        self.acquire_as(Mode::Async).await
    }

    /// Like [`acquire`](Self::acquire), for threads that may block.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    pub fn acquire_blocking(self) -> Result<Gateway> {
        now_or_never(self.acquire_as(Mode::Blocking))
    }

    pub(super) async fn acquire_as(self, mode: Mode) -> Result<Gateway> {
        let deadline = deadline_after(Some(self.timeout));
        let asked = self.clone();
        let layout = mode.run(move || asked.layout(true)).await??;
        let owner_id = Uuid::now_v7();
        let chosen = match self.port {
            0 => Some(socket::bind(self.address(), mode, deadline).await?),
            _ => None,
        };
        let address = chosen.as_ref().map_or(self.address(), |(_, address)| *address);
        let facts = record(&layout, address, owner_id);
        let state_lock = self.lock(mode, &layout, Layer::State, deadline, &facts).await?;
        let config_lock = match self.multi {
            true => None,
            false => Some(self.lock(mode, &layout, Layer::Config, deadline, &facts).await?),
        };
        let (socket, address) = match chosen {
            Some(bound) => bound,
            None => socket::bind(address, mode, deadline).await?,
        };
        let state_dir = layout.state_dir().display();
        tracing::info!(%state_dir, %address, %owner_id, "gateway started");
        Ok(Gateway { socket: Some(socket), config_lock, state_lock, layout, address, owner_id })
    }

    /// Returns where its files are. With `create`, missing directories are created.
    pub(super) fn layout(&self, create: bool) -> Result<Layout> {
        Layout::resolve(&self.state_dir, self.config.as_deref(), self.lock_dir.as_deref(), create)
    }

    /// Returns the address that it would listen on.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(DEFAULT_HOST), self.port)
    }

    async fn lock(
        &self,
        mode: Mode,
        layout: &Layout,
        layer: Layer,
        deadline: Option<Instant>,
        facts: &Map<String, Value>,
    ) -> Result<Turn> {
        let lock = match layer {
            Layer::State => layout.state_lock(),
            Layer::Config => layout.config_lock(),
        };
        // A gateway holds its locks for weeks, which is no long hold to report.
        let rules = Rules { max_hold: Duration::MAX, ..self.rules() };
        let acquire = Acquire::gateway(Arc::new(rules), lock.to_owned(), facts.clone())
            .label(self.label.as_deref().unwrap_or("gateway"))
            .timeout(deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            }));
        let error = match acquire.acquire_as(mode).await {
            Ok(turn) => return Ok(turn),
            Err(error) => error,
        };
        if !is_held(&error) {
            return Err(error.into());
        }
        let (asked, lock) = (self.clone(), lock.to_owned());
        let advice = mode.run(move || advice::about_holder(&asked, &lock)).await?;
        Err(self.refused(layout, layer, error, advice))
    }

    /// The rules by which its locks are judged.
    pub(super) fn rules(&self) -> Rules {
        Rules { assume_local: self.assume_local, ..Rules::default() }
    }

    /// Turns "the lock is held" into the refusal of a gateway.
    fn refused(
        &self,
        layout: &Layout,
        layer: Layer,
        error: crate::Error,
        (advice, verified): (String, bool),
    ) -> Error {
        let holder = match error {
            crate::Error::Timeout { holder, .. } => holder,
            crate::Error::DataLockBusy { .. } => None,
            other => return other.into(),
        };
        let waited = self.timeout;
        Error::Refused(match layer {
            Layer::State => {
                let state_dir = layout.state_dir().to_owned();
                Refused::StateLocked { state_dir, waited, holder, verified, advice }
            }
            Layer::Config => {
                let config = layout.config().to_owned();
                Refused::ConfigLocked { config, waited, holder, verified, advice }
            }
        })
    }
}

/// Whether an error says that somebody else has the lock.
fn is_held(error: &crate::Error) -> bool {
    matches!(error, crate::Error::Timeout { .. } | crate::Error::DataLockBusy { .. })
}

#[derive(Clone, Copy)]
enum Layer {
    State,
    Config,
}
