// In Orthanc Explorer: a button on each study and each series that opens it on the plugin's page.
(function () {
  function addButton(level, room) {
    $('#' + level).live('pagebeforecreate', function () {
      var button = $('<a>')
        .attr('data-role', 'button')
        .attr('href', '#')
        .attr('data-icon', 'search')
        .attr('data-theme', 'e')
        .attr('id', 'chest-ai-' + level)
        .text('Chest AI');
      button.insertBefore($('#' + level + '-delete').parent().parent());
      button.click(function () {
        if ($.mobile.pageData) {
          window.open('../ai/#/' + room + '/' + $.mobile.pageData.uuid);
        }
      });
    });
  }
  addButton('study', 'study');
  addButton('series', 'series');
})();
