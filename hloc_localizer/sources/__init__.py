"""Where frames come from: bags, videos, folders of images."""
