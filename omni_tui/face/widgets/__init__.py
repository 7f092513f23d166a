"""Small widgets that several panes and screens share."""
