mod grouping;
mod origin;
