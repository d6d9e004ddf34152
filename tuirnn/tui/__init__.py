"""The dashboard: watches run directories, steers trainings, writes with trained cells. No torch here.

Reading a run is `feed`'s business, drawing is the widgets', and `screens` joins the two. Nothing in this
package holds a training: closing the dashboard, or killing it, ends nothing but the dashboard.
"""
