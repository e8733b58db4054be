// Loaded only where the page was asked for as /ai: from there none of its addresses leads anywhere.
location.replace(`${location.pathname}/${location.search}${location.hash}`);
