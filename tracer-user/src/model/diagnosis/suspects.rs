//! Suspects: the call sites that may hold growth, before one is certain.

use super::attribution::Net;
use super::leaks::{BySite, share_of};
use super::since_start::suspected;
use crate::model::Model;
use crate::model::findings::Suspect;
use crate::model::rows::RowId;

/// Most suspects: what a person looks at.
const MAX_SUSPECTS: usize = 5;

impl Model {
    /// The sites whose veterans became more in this watch, largest net growth first; behind them those that the history
    /// suspects.
    pub(super) fn suspects(&self, by_site: &BySite) -> Vec<Suspect> {
        let explained = &self.diagnosis.explained;
        let mut sites: Vec<(u32, Net)> = self.net_by_site().into_iter().collect();
        sites.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
        sites.retain(|(_, net)| net.bytes > 0.0);
        let since_start = self.sites_since_start();
        for site in suspected(&since_start, by_site) {
            if !sites.iter().any(|(known, _)| *known == site) {
                sites.push((site, Net::default()));
            }
        }
        let suspect = |(site, net): (u32, Net)| {
            let largest = by_site.largest(site)?;
            let (born, freed) = explained.turnover.get(&site).copied()?;
            Some(Suspect {
                row: RowId(site),
                frame: self.site_frame(largest)?,
                via: self.via(largest, site),
                bytes: net.bytes,
                share: share_of(explained.grown_net_of(site), explained.grown_net()),
                samples: whole(net.samples),
                born,
                freed,
                since_start: since_start
                    .get(&site)
                    .cloned()
                    .filter(|since| since.born > 0),
            })
        };
        sites
            .into_iter()
            .filter_map(suspect)
            .take(MAX_SUSPECTS)
            .collect()
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, at least 0"
)]
fn whole(samples: f64) -> u64 {
    samples.max(0.0).round() as u64
}
