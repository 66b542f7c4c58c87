"""Object stores and web servers: their URLs, how they are opened, and what their failures mean to a person."""
