//! The other lists: `stats settings`, `items`, `slabs` and `sizes`. (stats-and-admin.md §3.2–§3.5)

use crate::limits::CLASS_MAX;
use crate::settings::usage::{Live, settings_lines};
use crate::stats::{Lines, Registry};
use crate::storage::ClassItems;

pub(super) fn settings(registry: &Registry, lines: &mut Lines<'_>) {
    let services = registry.services;
    let live = Live {
        oldest: services.engine.oldest().0,
        crawler_running: services.engine.crawler_running(),
        maintainer_running: services.engine.maintainer_running(),
    };
    settings_lines(
        services.settings,
        services.tunables,
        live,
        &mut |name, value| {
            lines.text(name, value);
        },
    );
}

pub(super) fn items(registry: &Registry, lines: &mut Lines<'_>) {
    let threads = registry.threads();
    for id in 1..=CLASS_MAX {
        // At most 63.
        let class = registry.services.engine.class_items(id as u8);
        if class.number() > 0 {
            let hits = std::array::from_fn(|segment| threads.lru_hits[id + segment * 64]);
            class_items(registry, &class, hits, lines);
        }
    }
}

/// `hits` by segment: hot, warm, cold, temp.
fn class_items(registry: &Registry, class: &ClassItems, hits: [u64; 4], lines: &mut Lines<'_>) {
    let maintained = registry.services.engine.maintainer_running();
    let temp = registry.services.tunables.temp_limit().is_some();
    let counts = &class.counts;
    let mut show =
        |name: &str, value: u64| lines.show(&format!("items:{}:{name}", class.id), value);
    show("number", class.number());
    if maintained {
        show("number_hot", class.hot);
        show("number_warm", class.warm);
        show("number_cold", class.cold);
        if temp {
            show("number_temp", class.temp);
        }
        show("age_hot", class.age_hot.into());
        show("age_warm", class.age_warm.into());
    }
    show("age", class.age.into());
    show("mem_requested", class.mem_requested);
    show("evicted", counts.evicted);
    show("evicted_nonzero", counts.evicted_nonzero);
    show("evicted_time", counts.evicted_time);
    show("outofmemory", counts.outofmemory);
    show("tailrepairs", counts.tailrepairs);
    show("reclaimed", counts.reclaimed);
    show("expired_unfetched", counts.expired_unfetched);
    show("evicted_unfetched", counts.evicted_unfetched);
    if maintained {
        show("evicted_active", counts.evicted_active);
    }
    show("crawler_reclaimed", counts.crawler_reclaimed);
    show("crawler_items_checked", counts.crawler_items_checked);
    show("lrutail_reflocked", counts.lrutail_reflocked);
    if maintained {
        show("moves_to_cold", counts.moves_to_cold);
        show("moves_to_warm", counts.moves_to_warm);
        show("moves_within_lru", counts.moves_within_lru);
        show("direct_reclaims", counts.direct_reclaims);
        for (name, hits) in [
            "hits_to_hot",
            "hits_to_warm",
            "hits_to_cold",
            "hits_to_temp",
        ]
        .iter()
        .zip(hits)
        {
            show(name, hits);
        }
    }
}

pub(super) fn slabs(registry: &Registry, lines: &mut Lines<'_>) {
    let threads = registry.threads();
    let slabs = registry.services.engine.slab_stats();
    for class in &slabs.classes {
        let id = usize::from(class.size.id);
        let counts = &threads.classes[id];
        let mut show = |name: &str, value: u64| lines.show(&format!("{id}:{name}"), value);
        show("chunk_size", class.size.chunk.into());
        show("chunks_per_page", class.size.per_page.into());
        show("total_pages", class.pages);
        show("total_chunks", class.total_chunks());
        show("used_chunks", class.used_chunks());
        show("free_chunks", class.free_chunks);
        // Compat: clients expect the line; pages are split into free chunks as a whole, so no end is ever left.
        show("free_chunks_end", 0);
        show("get_hits", threads.get_hits_of(id));
        show("cmd_set", counts.set_cmds);
        show("delete_hits", counts.delete_hits);
        show("incr_hits", counts.incr_hits);
        show("decr_hits", counts.decr_hits);
        show("cas_hits", counts.cas_hits);
        show("cas_badval", counts.cas_badval);
        show("touch_hits", counts.touch_hits);
    }
    lines.show("active_slabs", slabs.classes.len());
    lines.show("total_malloced", slabs.total_malloced);
}

pub(super) fn sizes(registry: &Registry, lines: &mut Lines<'_>) {
    match registry.services.engine.size_histogram() {
        Some(buckets) => {
            for (size, count) in buckets {
                lines.show(&size.to_string(), count);
            }
        }
        None => lines.text("sizes_status", "disabled"),
    }
}
