//! The flags about external Services.

use clap::Args;

use crate::external::controller::PLACES;
use crate::policy::{Cidr, parse_cidr};

const EXTERNAL: &str = "External Services";

/// What is known of the cluster, and how much is asked at a time.
#[derive(Args, Clone, Debug)]
pub struct ExternalArgs {
    /// The cluster's own networks, pods' and Services', as in 10.244.0.0/16,10.96.0.0/12: no external Service may point
    /// into them. Those of ServiceCIDR objects and of Nodes are added by themselves.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', value_parser = parse_cidr, help_heading = EXTERNAL)]
    pub cluster_cidrs: Vec<Cidr>,
    /// Probes of external addresses at a time, each of which has a socket; beyond, they wait.
    #[arg(long, value_name = "N", default_value_t = PLACES, value_parser = clap::value_parser!(u16).range(1..), help_heading = EXTERNAL)]
    pub external_probes: u16,
}
