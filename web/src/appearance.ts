// Runs before the first paint: theme and language as they were chosen on this device. Nothing else is kept in local storage.
const theme = localStorage.getItem("millrace.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
